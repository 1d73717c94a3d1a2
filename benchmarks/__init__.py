"""Measurements: each module is run as ``python -m benchmarks.NAME``, prints a table, and one JSON line last."""
