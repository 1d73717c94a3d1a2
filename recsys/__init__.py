"""A movie recommender as one workflow: ingest, tune, score, publish.

The package computes; jobs connect; DAGs schedule. Nothing here imports Airflow.
"""

__version__ = "0.1.0"
