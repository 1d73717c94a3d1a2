"""How candidates and members are fitted: the engines, the folds, and fits as tasks of a cluster."""
