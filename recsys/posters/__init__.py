"""From published tables to posters in the store: the tasks of the DAG fetch_posters."""
