"""The search engine: the ALS of MLlib in compiled code."""
