"""One function per task: read, compute, write, publish; each returns a small dict of ids, URIs and counts."""
