"""MLflow: runs, reports, the model registry and its champion. No other package imports it."""
