"""From a source to an immutable snapshot: the tasks of the DAG ingest_ratings and what they compute with."""
