"""The report on a snapshot: summaries and figures."""
