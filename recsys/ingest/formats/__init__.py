"""The layouts of ratings that are known, and the tables each is read into."""
