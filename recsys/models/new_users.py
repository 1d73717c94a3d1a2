"""New users of the served models at once, whatever these are made of: each member folds them in as it was fitted."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.models.factors import Biases, Factors, Floats, Ids
from recsys.models.fold_in import gram, ranking_vector, rating_vector, user_bias
from recsys.models.preferences import preference
from recsys.models.recipe import Member, Recipe

_NOBODY, _NOTHING = np.empty(0, np.int32), np.empty(0, np.float32)
_NO_BIASES = Biases(0.0, _NOBODY, _NOTHING, _NOBODY, _NOTHING)
_NO_RESIDUALS = Factors(_NOBODY, _NOTHING.reshape(0, 0), _NOBODY, _NOTHING.reshape(0, 0))


class NewUsers(NamedTuple):
    """What the models know of users that were folded in.

    Attributes:
        user_ids: ascending; those of whom the ranking model could make something; shape (n,).
        ranking: rows to be multiplied with the movie factors of the ranking model; shape (n, rank).
        residuals: the same for the rating model; shape (n, rank of it), which is 0 without one.
        biases: in stars, 0 without a rating model; shape (n,).
    """

    user_ids: Ids
    ranking: Floats
    residuals: Floats
    biases: Floats


class Folder:
    """Folds users in to the models of a recommender, whatever they are made of.

    Args:
        ranking: the mean of the members of `recipe.ranking`, as `weighted_sum` makes it.
        rating: biases and residuals of the rating model, these the member of `recipe.rating` or the blend of all; None
            where there is no such model.
        recipe: how these were made.
    """

    def __init__(self, ranking: Factors, rating: tuple[Biases, Factors] | None, recipe: Recipe) -> None:
        self._biases, residuals = rating or (_NO_BIASES, _NO_RESIDUALS)
        self._recipe, self._blend = recipe, recipe.weights()
        # In a mean of n, each side of a member carries the root of 1/n.
        self._scale = np.float32(1 / np.sqrt(len(recipe.ranking)))
        self._ranking = [_Part(member, part) for member, part in _cut(ranking, recipe.ranking, 1 / self._scale)]
        self._rating = [_Part(member, part) for member, part in _cut(residuals, recipe.rating, np.float32(1))]

    def __call__(
        self,
        user_ids: NDArray[np.integer],
        movie_ids: NDArray[np.integer],
        stars: NDArray[np.floating],
        timestamps: NDArray[np.datetime64],
    ) -> NewUsers:
        """Fold in the users of some ratings; all shapes (n,), in any order.

        Users who like nothing that the ranking model knows are left out: they are due the fallback list.
        """
        order = np.argsort(user_ids, kind="stable")
        user_ids, movie_ids, stars, timestamps = user_ids[order], movie_ids[order], stars[order], timestamps[order]
        users, starts = np.unique(user_ids, return_index=True)
        labels = {
            part.member: part.labels(stars, user_ids, timestamps, self._biases.mean, self._recipe.newest_ms)
            for part in [*self._ranking, *self._rating]
            if part.member.alpha is not None
        }
        rows = [
            self._one(movie_ids[at], stars[at], {member: values[at] for member, values in labels.items()})
            for at in (slice(*ends) for ends in pairwise([*starts, len(user_ids)]))
        ]
        kept = [at for at, (ranking, _, _) in enumerate(rows) if ranking.any()]
        return NewUsers(
            users[kept].astype(np.int32),
            *(
                np.array([rows[at][column] for at in kept], np.float32).reshape(shape)
                for column, shape in enumerate(
                    [(len(kept), self._width(self._ranking)), (len(kept), self._width(self._rating, 3)), (len(kept),)]
                )
            ),
        )

    def _one(
        self, movie_ids: NDArray[np.integer], stars: NDArray[np.floating], labels: dict[Member, NDArray[np.float32]]
    ) -> tuple[Floats, Floats, float]:
        """A user's row in both models, and the bias; without a rating model its part is empty, and the bias 0."""
        bias = user_bias(self._biases, movie_ids, stars) if self._rating else 0.0
        rest = stars - bias - self._biases.predict(np.full(len(movie_ids), -1), movie_ids)
        ranking = [part.vector(movie_ids, labels.get(part.member), rest) * self._scale for part in self._ranking]
        rating = [part.vector(movie_ids, labels.get(part.member), rest) for part in self._rating]
        if self._blend is not None:
            log_n = np.log1p(len(movie_ids))
            weights = self._blend.levels + self._blend.slopes * log_n
            one, user, user2, _, _, both = self._blend.shift
            shift = [one + user * log_n + user2 * log_n**2, 1.0, both * log_n]
            rating = [*(vector * weight for vector, weight in zip(rating, weights, strict=True)), np.array(shift)]
        return np.concatenate(ranking), np.concatenate([*rating, np.empty(0)]).astype(np.float32), bias

    def _width(self, parts: list["_Part"], n_shift: int = 0) -> int:
        return sum(part.member.rank for part in parts) + (n_shift if self._blend is not None else 0)


class _Part:
    """One member with its movie factors as it was fitted."""

    def __init__(self, member: Member, factors: Factors) -> None:
        self.member, self._factors = member, factors
        self._gram = gram(factors.movie_factors) if member.alpha is not None else None

    def labels(
        self,
        stars: NDArray[np.floating],
        user_ids: NDArray[np.integer],
        timestamps: NDArray[np.datetime64],
        mean: float,
        newest_ms: int,
    ) -> NDArray[np.float32]:
        member = self.member
        return preference(
            stars, user_ids, timestamps, member.scheme, member.power, member.threshold, member.half_life_days,
            mean=mean, newest=np.datetime64(newest_ms, "ms"),
        )  # fmt: skip

    def vector(
        self, movie_ids: NDArray[np.integer], labels: NDArray[np.float32] | None, rest: NDArray[np.floating]
    ) -> Floats:
        member = self.member
        if member.alpha is None or labels is None:
            return rating_vector(self._factors, movie_ids, rest, member.reg_param)
        return ranking_vector(self._factors, movie_ids, labels, member.alpha, member.reg_param, self._gram)


def _cut(factors: Factors, members: Sequence[Member], scale: np.float32) -> Iterator[tuple[Member, Factors]]:
    """Each member with its own columns of the movie factors, times `scale`; users play no part."""
    none, start = np.empty(0, np.int32), 0
    for member in members:
        columns = factors.movie_factors[:, start : start + member.rank] * scale
        yield member, Factors(none, np.empty((0, member.rank), np.float32), factors.movie_ids, columns)
        start += member.rank
