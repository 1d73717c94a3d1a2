"""The registered model as MLflow stores it: top-k lists from NumPy factors, without Spark or this package.

MLflow copies this file into the model and runs it on load ("models from code"). The mathematics comes from the package
that `recsys.tracking.shipped` puts beside it. ``mlflow.pyfunc.load_model("models:/<name>@champion")`` gives a model
whose ``predict(DataFrame[user_id, seen?, ratings?], params={"k": 10})`` returns user_id, rank, movie_id, score, source.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

_LARGEST_COUNT = 1e9  # as the ingest takes them


class ServedRecommender(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow ships no types for it
    """Ranks the catalogue for users it knows or can fold in (source als, fold_in); others get the popular movies."""

    def load_context(self, context: Any) -> None:
        shipped = import_module(f"{context.model_config['package']}.models.recommender")
        self.model = shipped.Recommender.from_bytes(Path(context.artifacts["recommender"]).read_bytes())

    # MLflow reads type hints here as an input schema of its own; the signature is given on registration.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Lists for the users of `model_input`.

        Args:
            context: unused; the model was loaded before.
            model_input: column ``user_id``; optionally ``seen``, a list of movie ids to leave out, and ``ratings``,
                the stars of each of these or NaN. Ratings matter for users the model does not know. A model of data
                without ratings takes counts for them, and 1 for each of ``seen`` where none are given.
            params: ``{"k": 10}``, the length of each list.

        Returns:
            Columns user_id, rank (from 1), movie_id, score, source; best first within a user.
        """
        k = int((params or {}).get("k", 10))
        users = model_input["user_id"].to_numpy(np.int64)
        seen, stars = _lists(model_input, "seen", np.int64), _lists(model_input, "ratings", np.float64)
        if self.model.rating is None:
            stars = [given if len(given) else np.ones(len(movies)) for movies, given in zip(seen, stars, strict=True)]
        self._check(seen, stars)
        vectors = self._vectors(users, seen, stars)
        lists = [self._top(user, vectors.get(row), seen[row], k) for row, user in enumerate(users.tolist())]
        return pd.concat(lists, ignore_index=True) if lists else self._frame(0, np.array([]), np.array([]), "")

    def _vectors(
        self, users: np.ndarray, seen: list[np.ndarray], stars: list[np.ndarray]
    ) -> dict[int, tuple[np.ndarray, str]]:
        """The factors of each row's user and where they are from; rows without any are left out."""
        ranking = self.model.ranking
        at = np.searchsorted(ranking.user_ids, users)
        known = np.isin(users, ranking.user_ids)
        found = {row: (ranking.user_factors[at[row]], "als") for row in np.flatnonzero(known).tolist()}
        if self.model.recipe is None:
            return found
        new = [row for row in np.flatnonzero(~known).tolist() if np.isfinite(stars[row]).any()]
        if new:
            movies, given = np.concatenate([seen[row] for row in new]), np.concatenate([stars[row] for row in new])
            rows, rated = np.repeat(new, [len(seen[row]) for row in new]), np.isfinite(given)
            folded = self.model.fold_in(rows[rated], movies[rated], given[rated])
            found |= {
                row: (vector, "fold_in") for row, vector in zip(folded.user_ids.tolist(), folded.ranking, strict=True)
            }
        return found

    def _top(self, user_id: int, found: tuple[np.ndarray, str] | None, seen: np.ndarray, k: int) -> pd.DataFrame:
        if found is None:
            ids, counts, source = self.model.popular_ids, self.model.popular_counts, "popular"
            scores = counts / max(1, counts.max(initial=0))
        else:
            vector, source = found
            ids, scores = self.model.ranking.movie_ids, self.model.ranking.movie_factors @ vector
        unseen = ~np.isin(ids, seen)
        ids, scores = ids[unseen], scores[unseen]
        order = np.lexsort((ids, -scores))[:k]  # ties: lower id first
        return self._frame(user_id, ids[order], scores[order], source)

    def _check(self, seen: list[np.ndarray], stars: list[np.ndarray]) -> None:
        rating = self.model.rating
        low, high = (rating.low, rating.high) if rating else (np.nextafter(0, 1), _LARGEST_COUNT)
        scale = (
            f"outside of the scale of {low:g} to {high:g} stars"
            if rating
            else f"that are no counts above 0 and at most {high:,.0f}"
        )
        for row, (movies, given) in enumerate(zip(seen, stars, strict=True)):
            outside = given[(given < low) | (given > high)]
            if len(given) not in {0, len(movies)} or len(outside):
                raise mlflow.MlflowException.invalid_parameter_value(
                    f"row {row}: {len(given)} ratings of {len(movies)} seen movies, and {len(outside)} {scale}; "
                    "as many are needed, and 0 allowed. Nothing was ranked. "
                    "Give one rating for each of `seen`, NaN where there is none."
                )

    @staticmethod
    def _frame(user_id: int, ids: np.ndarray, scores: np.ndarray, source: str) -> pd.DataFrame:
        ranks = np.arange(1, len(ids) + 1)
        return pd.DataFrame({"user_id": user_id, "rank": ranks, "movie_id": ids, "score": scores, "source": source})


def _lists(table: pd.DataFrame, column: str, kind: type) -> list[np.ndarray]:
    """A column of lists; empty where a row, or the whole column, is missing."""
    values = table[column] if column in table else [None] * len(table)
    return [np.asarray(value if isinstance(value, list | tuple | np.ndarray) else [], kind) for value in values]


mlflow.models.set_model(ServedRecommender())
