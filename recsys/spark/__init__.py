"""Spark: its session, the memory it may take, and what a cluster is sent."""
