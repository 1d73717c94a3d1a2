"""From a champion to published tables: the tasks of the DAG score_users and what they compute with."""
