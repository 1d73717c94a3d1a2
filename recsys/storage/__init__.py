"""The object store, its keys, and the atomic publication of versions."""
