"""The embedded stack: Airflow, MLflow and the poster site on this machine: start, wait, trigger, watch, stop."""
