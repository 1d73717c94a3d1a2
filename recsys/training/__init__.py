"""From a snapshot to a registered model: the tasks of the DAG train_model and what they compute with."""
