"""The registered model as MLflow stores it: top-k lists from NumPy factors, without Spark or this package.

MLflow copies this file into the model and runs it on load ("models from code"), so it imports nothing
but NumPy, pandas and MLflow. ``mlflow.pyfunc.load_model("models:/<name>@champion")`` gives a model whose
``predict(DataFrame[user_id, seen?], params={"k": 10})`` returns user_id, rank, movie_id, score.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd


class ServedRecommender(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow ships no types for it
    """Ranks the catalogue for users it knows; others get the popular movies."""

    def load_context(self, context: Any) -> None:
        with np.load(context.artifacts["recommender"], allow_pickle=False) as arrays:
            self.user_ids = arrays["ranking_user_ids"]
            self.user_factors = arrays["ranking_user_factors"]
            self.movie_ids = arrays["ranking_movie_ids"]
            self.movie_factors = arrays["ranking_movie_factors"]
            self.popular_ids = arrays["popular_ids"]
            self.popular_counts = arrays["popular_counts"]

    # MLflow reads type hints here as an input schema of its own; the signature is given on registration.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Lists for the users of `model_input`.

        Args:
            context: unused; the arrays were loaded before.
            model_input: column ``user_id``; optionally ``seen``, a list of movie ids to leave out.
            params: ``{"k": 10}``, the length of each list.

        Returns:
            Columns user_id, rank (from 1), movie_id, score; best first within a user.
        """
        k = int((params or {}).get("k", 10))
        seen = model_input["seen"] if "seen" in model_input else [()] * len(model_input)
        lists = [
            self._top(int(user), np.asarray(movies, np.int64), k)
            for user, movies in zip(model_input["user_id"], seen, strict=True)
        ]
        return pd.concat(lists, ignore_index=True) if lists else self._frame(0, np.array([]), np.array([]))

    def _top(self, user_id: int, seen: np.ndarray, k: int) -> pd.DataFrame:
        at = np.searchsorted(self.user_ids, user_id)
        if at < len(self.user_ids) and self.user_ids[at] == user_id:
            ids, scores = self.movie_ids, self.movie_factors @ self.user_factors[at]
        else:
            ids, scores = self.popular_ids, self.popular_counts / max(1, self.popular_counts.max(initial=0))
        unseen = ~np.isin(ids, seen)
        ids, scores = ids[unseen], scores[unseen]
        order = np.lexsort((ids, -scores))[:k]  # ties: lower id first
        return self._frame(user_id, ids[order], scores[order])

    @staticmethod
    def _frame(user_id: int, ids: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"user_id": user_id, "rank": np.arange(1, len(ids) + 1), "movie_id": ids, "score": scores})


mlflow.models.set_model(ServedRecommender())
