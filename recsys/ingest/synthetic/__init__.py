"""The synthetic sample data set."""
