"""The pair that is served: a ranking model orders the lists, a rating model says the stars."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.models.factors import Biases, Factors, Floats, Ids


@dataclass(frozen=True)
class RatingModel:
    """Predicted stars: damped biases, plus ALS factors fitted on what the biases leave over.

    Attributes:
        low: smallest star rating of the training data; predictions are clipped to it.
        high: largest star rating of the training data.
    """

    biases: Biases
    residuals: Factors
    low: float
    high: float

    def predict(self, user_ids: NDArray[np.integer], movie_ids: NDArray[np.integer]) -> Floats:
        """Predicted stars of pairs; shapes (n,), (n,) to (n,). Cold ids get the bias part, never NaN."""
        stars = self.biases.predict(user_ids, movie_ids) + self.residuals.dot(user_ids, movie_ids)
        clipped: Floats = np.clip(stars, self.low, self.high).astype(np.float32)
        return clipped

    def biases_alone(self) -> "RatingModel":
        """The same model without its factors: the baseline they must beat."""
        ids, none = np.empty(0, np.int32), np.empty((0, 1), np.float32)
        return RatingModel(self.biases, Factors(ids, none, ids, none), self.low, self.high)


@dataclass(frozen=True)
class Recommender:
    """Everything scoring needs, in NumPy arrays: no JVM, no Spark.

    Attributes:
        ranking: implicit ALS factors; their dot product orders a user's list.
        rating: predicts stars.
        popular_ids: every rated movie, most rated first (ties: lower id first); the fallback list.
        popular_counts: training ratings of each, same order.
    """

    ranking: Factors
    rating: RatingModel
    popular_ids: Ids
    popular_counts: NDArray[np.int32]

    def to_bytes(self) -> bytes:
        """All arrays as one uncompressed ``.npz`` (factors do not compress)."""
        biases, residuals = self.rating.biases, self.rating.residuals
        buffer = io.BytesIO()
        np.savez(
            buffer,
            ranking_user_ids=self.ranking.user_ids,
            ranking_user_factors=self.ranking.user_factors,
            ranking_movie_ids=self.ranking.movie_ids,
            ranking_movie_factors=self.ranking.movie_factors,
            residual_user_ids=residuals.user_ids,
            residual_user_factors=residuals.user_factors,
            residual_movie_ids=residuals.movie_ids,
            residual_movie_factors=residuals.movie_factors,
            bias_user_ids=biases.user_ids,
            user_bias=biases.user_bias,
            bias_movie_ids=biases.movie_ids,
            movie_bias=biases.movie_bias,
            mean_low_high=np.array([biases.mean, self.rating.low, self.rating.high], np.float64),
            popular_ids=self.popular_ids,
            popular_counts=self.popular_counts,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Recommender":
        """The inverse of `to_bytes`. Pickled objects are refused."""
        with np.load(io.BytesIO(data), allow_pickle=False) as a:
            mean, low, high = a["mean_low_high"].tolist()
            return cls(
                Factors(
                    a["ranking_user_ids"],
                    a["ranking_user_factors"],
                    a["ranking_movie_ids"],
                    a["ranking_movie_factors"],
                ),
                RatingModel(
                    Biases(mean, a["bias_user_ids"], a["user_bias"], a["bias_movie_ids"], a["movie_bias"]),
                    Factors(
                        a["residual_user_ids"],
                        a["residual_user_factors"],
                        a["residual_movie_ids"],
                        a["residual_movie_factors"],
                    ),
                    low,
                    high,
                ),
                a["popular_ids"],
                a["popular_counts"],
            )
