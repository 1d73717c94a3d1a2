"""Checks by Great Expectations, and the quarantine of faulty rows."""
