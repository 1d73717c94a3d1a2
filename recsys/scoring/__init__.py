"""Top-k lists for users, neighbours for movies, and the proof that both are fit to publish."""
