"""The models that a recommender has to beat."""
