"""What is served: a ranking model orders the lists, and where there are ratings, a rating model says the stars."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError
from recsys.models.factors import Biases, Factors, Floats, Ids
from recsys.models.new_users import Folder, NewUsers
from recsys.models.recipe import Recipe
from recsys.models.users import UserRows


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

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, by the names it is stored under."""
        biases, residuals = self.biases, self.residuals
        return {
            "residual_user_ids": residuals.user_ids,
            "residual_user_factors": residuals.user_factors,
            "residual_movie_ids": residuals.movie_ids,
            "residual_movie_factors": residuals.movie_factors,
            "bias_user_ids": biases.user_ids,
            "user_bias": biases.user_bias,
            "bias_movie_ids": biases.movie_ids,
            "movie_bias": biases.movie_bias,
            "mean_low_high": np.array([biases.mean, self.low, self.high], np.float64),
        }

    @classmethod
    def of_arrays(cls, a: Mapping[str, NDArray[Any]]) -> "RatingModel":
        """The inverse of `arrays`."""
        mean, low, high = a["mean_low_high"].tolist()
        names = ("user_ids", "user_factors", "movie_ids", "movie_factors")
        residuals = Factors(*(a[f"residual_{name}"] for name in names))
        biases = Biases(mean, a["bias_user_ids"], a["user_bias"], a["bias_movie_ids"], a["movie_bias"])
        return cls(biases, residuals, low, high)


@dataclass(frozen=True)
class Recommender:
    """Everything scoring needs, in NumPy arrays: no JVM, no Spark.

    Attributes:
        ranking: implicit ALS factors; their dot product orders a user's list.
        rating: predicts stars; None where nobody rated, and the ranking model learned from counts.
        popular_ids: every rated movie, most rated first (ties: lower id first); the fallback list.
        popular_counts: training ratings of each, same order.
        recipe: how the factors were made; None where that was not kept, and nobody can be folded in.
    """

    ranking: Factors
    rating: RatingModel | None
    popular_ids: Ids
    popular_counts: NDArray[np.int32]
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        found = (self.ranking.rank, self.rating.residuals.rank if self.rating else 0)
        if self.recipe is not None and self.recipe.ranks() != found:
            raise DataError(
                f"the recipe makes {self.recipe.ranks()} factors of ranking and rating, the models have {found}. "
                "Nothing was made. Pass the members as they were put together."
            )

    @property
    def predict(self) -> Callable[[NDArray[np.integer], NDArray[np.integer]], Floats] | None:
        """`RatingModel.predict`; None where there is no rating model."""
        return self.rating.predict if self.rating else None

    def fold_in(
        self,
        user_ids: NDArray[np.integer],
        movie_ids: NDArray[np.integer],
        stars: NDArray[np.floating],
        timestamps: NDArray[np.datetime64] | None = None,
    ) -> NewUsers:
        """New users from their ratings, or counts, without training again; all shapes (n,).

        Without timestamps they are of now.

        Raises:
            ConfigError: the model was stored without its recipe.
        """
        if self.recipe is None:
            raise ConfigError(
                "This model was stored without its recipe, so nobody can be folded in. Users it does not know get "
                "popular movies. Train the model again."
            )
        if timestamps is None:
            timestamps = np.full(len(user_ids), self.recipe.newest_ms, "datetime64[ms]")
        stars_model = (self.rating.biases, self.rating.residuals) if self.rating else None
        return Folder(self.ranking, stars_model, self.recipe)(user_ids, movie_ids, stars, timestamps)

    def without_rating(self) -> "Recommender":
        """The ranking model alone: for data without ratings, whatever the model was trained on."""
        recipe = self.recipe and self.recipe.model_copy(update={"rating": (), "blend": None})
        return replace(self, rating=None, recipe=recipe)

    def with_users(self, new: NewUsers) -> "Recommender":
        """The same models over their users and some that were folded in; those they know already are replaced."""
        known = self.user_rows()
        return self.over(
            UserRows(
                *_joined(known.ranking_ids, known.ranking, new.user_ids, new.ranking),
                *_joined(known.residual_ids, known.residuals, new.user_ids, new.residuals),
                *_joined(known.bias_ids, known.biases, new.user_ids, new.biases),
            )
        )

    def user_rows(self) -> UserRows:
        """All that is known of users, apart from the movies."""
        ranking = (self.ranking.user_ids, self.ranking.user_factors)
        if self.rating is None:
            ids, none = np.empty(0, np.int32), np.empty(0, np.float32)
            return UserRows(*ranking, ids, none.reshape(0, 0), ids, none)
        residuals, biases = self.rating.residuals, self.rating.biases
        return UserRows(
            *ranking,
            *(residuals.user_ids, residuals.user_factors),
            *(biases.user_ids, biases.user_bias),
        )

    def over(self, users: UserRows) -> "Recommender":
        """The same models over these users and no others."""
        rating = self.rating
        return replace(
            self,
            ranking=replace(self.ranking, user_ids=users.ranking_ids, user_factors=users.ranking),
            rating=rating
            and replace(
                rating,
                residuals=replace(rating.residuals, user_ids=users.residual_ids, user_factors=users.residuals),
                biases=replace(rating.biases, user_ids=users.bias_ids, user_bias=users.biases),
            ),
        )

    def to_bytes(self) -> bytes:
        """All arrays as one uncompressed ``.npz`` (factors do not compress); without a rating model none of its own."""
        arrays: dict[str, Any] = {
            "ranking_user_ids": self.ranking.user_ids,
            "ranking_user_factors": self.ranking.user_factors,
            "ranking_movie_ids": self.ranking.movie_ids,
            "ranking_movie_factors": self.ranking.movie_factors,
            **(self.rating.arrays() if self.rating else {}),
            "popular_ids": self.popular_ids,
            "popular_counts": self.popular_counts,
            "recipe": np.array(self.recipe.model_dump_json() if self.recipe else ""),
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Recommender":
        """The inverse of `to_bytes`; files older than recipes have none. Pickled objects are refused."""
        with np.load(io.BytesIO(data), allow_pickle=False) as a:
            return cls(
                Factors(
                    a["ranking_user_ids"],
                    a["ranking_user_factors"],
                    a["ranking_movie_ids"],
                    a["ranking_movie_factors"],
                ),
                RatingModel.of_arrays(a) if "mean_low_high" in a else None,
                a["popular_ids"],
                a["popular_counts"],
                Recipe.parse(str(a["recipe"])) if a.get("recipe") else None,
            )


def _joined(ids: Ids, values: Floats, new_ids: Ids, new_values: Floats) -> tuple[Ids, Floats]:
    """Both by ascending id; where an id is in both, the new one."""
    kept = ~np.isin(ids, new_ids)
    all_ids = np.concatenate([ids[kept], new_ids])
    order = np.argsort(all_ids)
    return all_ids[order], np.concatenate([values[kept], new_values])[order]
