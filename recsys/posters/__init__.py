"""Posters of the recommended movies: where they come from, how they are fetched, checked and drawn."""
