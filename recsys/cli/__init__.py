"""The command ``recsys``: the DAGs without Airflow, and the published tables at the terminal."""
