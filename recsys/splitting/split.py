"""One interface to every split: what is held out of all training, and which folds the rest is judged in."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError
from recsys.splitting import by_time, grouped
from recsys.splitting.random_split import fold_of, is_holdout, uniform

Strategy = Literal["random", "per_user", "per_movie", "time", "last_n"]
Ids = NDArray[np.integer]
Mask = NDArray[np.bool_]

_SHARE_SALT = 0x73_68_61_72
_DEAL_SALT = 0x64_65_61_6C
_START_SALT = 0x62_65_67_6E


class Fold(NamedTuple):
    """Two disjoint masks over the same ratings: fit on the one, judge on the other."""

    train: Mask
    validation: Mask


@dataclass(frozen=True)
class Split:
    """How ratings are parted. None depends on the order of the rows; a pair (user, movie) occurs once.

    Attributes:
        strategy: `random`: by a hash of the pair, so a rating's side is the same in every later snapshot.
            `per_user`, `per_movie`: that hash decides within each user's or movie's ratings, each gives its share;
            new ratings may move old ones to the other side. `time`: at one instant for everybody, as a service
            meets its future. `last_n`: each user's latest ratings; other users' later ones remain in training.
        fraction: of ratings held out; all strategies but `last_n`.
        n_last: ratings held out of each user; `last_n` alone.
        seed: of the hash; time decides without it.

    Raises:
        ConfigError: a value is out of range.
    """

    strategy: Strategy = "random"
    fraction: float = 0.2
    n_last: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            known = ", ".join(get_args(Strategy))
            raise ConfigError(f"split {self.strategy!r} is unknown. Nothing was split. Choose one of {known}.")
        if not (0 < self.fraction < 1 and self.n_last >= 1):
            raise ConfigError(
                f"fraction is {self.fraction}, between 0 and 1 is possible; n_last is {self.n_last}, at least 1 is "
                "needed. Nothing was split. Correct the value."
            )

    def holdout(self, user_ids: Ids, movie_ids: Ids, timestamps: NDArray[np.generic]) -> Mask:
        """Which ratings are kept from all training.

        Args:
            user_ids: shape (n,).
            movie_ids: shape (n,).
            timestamps: datetimes or integers; shape (n,).

        Raises:
            DataError: a split by time of ratings without different times.

        >>> times = np.array(["2001-01-01", "2003-01-01", "2002-01-01"], "datetime64[ms]")
        >>> Split("time", fraction=0.3).holdout(np.array([1, 1, 2]), np.array([7, 8, 7]), times).tolist()
        [False, True, False]
        """
        if self.strategy == "random":
            return is_holdout(user_ids, movie_ids, self.fraction, self.seed)
        if self.strategy == "time":
            return by_time.latest(_instants(timestamps), self.fraction)
        if self.strategy == "last_n":
            return grouped.last_of_each(user_ids, movie_ids, _instants(timestamps), self.n_last)
        draws = uniform(user_ids, movie_ids, self.seed, _SHARE_SALT)
        return grouped.share_of_each(*self._groups(user_ids, movie_ids), draws, self.fraction)

    def folds(self, n_folds: int, user_ids: Ids, movie_ids: Ids, timestamps: NDArray[np.generic]) -> list[Fold]:
        """Folds of the ratings that `holdout` left for training, in the manner of the same strategy.

        At random, each rating is validated once and the rest of a fold is its training. By time, folds follow each
        other, oldest first, and none trains on what is later than what it validates (`last_n`: of the same user);
        the last one uses every rating.

        Args:
            n_folds: at least 2; for a single one take `holdout` again.
            user_ids: shape (n,).
            movie_ids: shape (n,).
            timestamps: datetimes or integers; shape (n,).

        Raises:
            ConfigError: fewer than two folds.
            DataError: the ratings do not suffice for that many folds by time.

        >>> users, movies = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
        >>> folds = Split("per_user").folds(5, users, movies, np.zeros(20))
        >>> [int(fold.validation.sum()) for fold in folds]  # one rating of each user
        [4, 4, 4, 4, 4]
        """
        if n_folds < 2:
            raise ConfigError(f"{n_folds} folds: at least 2 are needed. Nothing was split. Set n_folds to 2 or more.")
        if self.strategy == "time":
            parts = by_time.expanding_folds(_instants(timestamps), n_folds)
            return [Fold(*part) for part in parts]
        if self.strategy == "last_n":
            parts = grouped.last_blocks(user_ids, movie_ids, _instants(timestamps), self.n_last, n_folds)
            return [Fold(*part) for part in parts]
        if self.strategy == "random":
            fold = fold_of(user_ids, movie_ids, n_folds, self.seed)
        else:
            groups, others = self._groups(user_ids, movie_ids)
            draws = uniform(user_ids, movie_ids, self.seed, _DEAL_SALT)
            starts = uniform(groups, np.zeros_like(groups), self.seed, _START_SALT)
            fold = grouped.folds_of_each(groups, others, draws, starts, n_folds)
        return [Fold(fold != i, fold == i) for i in range(n_folds)]

    def _groups(self, user_ids: Ids, movie_ids: Ids) -> tuple[Ids, Ids]:
        return (user_ids, movie_ids) if self.strategy == "per_user" else (movie_ids, user_ids)


def _instants(timestamps: NDArray[np.generic]) -> NDArray[np.int64]:
    if timestamps.dtype.kind == "M" and (n_missing := int(np.isnat(timestamps).sum())):
        raise DataError(
            f"{n_missing:,} of {len(timestamps):,} ratings have no timestamp, 0 allowed. Nothing was split. "
            "Leave them out, or split at random."
        )
    return timestamps.astype(np.int64)
