"""Train, validation and holdout: disjoint by construction, stable from one snapshot to the next."""
