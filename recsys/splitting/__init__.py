"""Train, validation and holdout: disjoint by construction, whatever the order of the rows."""
