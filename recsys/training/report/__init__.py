"""The training page: the search, the holdout, and what the gate decided."""
