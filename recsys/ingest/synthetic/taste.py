"""The invented audience behind the sample: who watches what, how many stars they give, and when.

A low-rank world with what recommenders meet in real ratings. Every genre is a direction in a space of
taste; a movie lies near the mean of its genres, a user near the few genres they like. A user picks movies
by popularity (Zipf-like, with a long tail) times the exponential of affinity, without replacement, and
rates them by user and movie leanings, affinity and noise, in half stars. So popularity is a fair
baseline, and a factor model that finds the space is clearly better: tests/ingest/synthetic/test_sample_signal.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GENRE_SHARES: dict[str, float] = {
    # Share of movies, rounded from what GroupLens reports for its larger releases.
    "Drama": 0.40, "Comedy": 0.27, "Thriller": 0.14, "Romance": 0.13, "Action": 0.12, "Documentary": 0.09,
    "Horror": 0.09, "Crime": 0.09, "Adventure": 0.07, "Sci-Fi": 0.06, "Children": 0.05, "Animation": 0.05,
    "Mystery": 0.05, "Fantasy": 0.045, "War": 0.03, "Western": 0.02, "Musical": 0.02, "Film-Noir": 0.01,
}  # fmt: skip
GENRES = tuple(GENRE_SHARES)

_N_FACTORS = 12
_OWN_STYLE = 0.55  # how far a movie strays from its genres, in units of the genres' own spread
_PICKINESS = 1.5  # how strongly affinity steers what is watched
_ZIPF_EXPONENT = 1.05
_ZIPF_SHIFT = 9.0  # flattens the very top: nobody has seen everything that is popular
_MEAN_STARS = 3.4
_USER_SPREAD, _MOVIE_SPREAD, _TASTE_SPREAD, _NOISE = 0.38, 0.38, 0.70, 0.60
_WHOLE_STARS_ONLY = 0.35  # share of users who never give half a star
_MIN_PER_USER = 20
_BLOCK_CELLS = 1_000_000  # users x movies scored at once: a few arrays of 4 MB each, near the cache's size

_DAY_S = 86_400
_FIRST_S = 1_420_070_400  # 2015-01-01, when all movies of the sample were out
_SPAN_S = 3_653 * _DAY_S  # ten years
_RATINGS_PER_SESSION = 18.0
_SECONDS_BETWEEN = 35.0


@dataclass(frozen=True)
class World:
    """Movies and users before anybody has watched anything.

    Attributes:
        genres: each movie's genres as flags; bool, shape (n_movies, 18).
        movie_factors: float32, shape (n_movies, 12).
        user_factors: float32, shape (n_users, 12).
        log_popularity: float32, shape (n_movies,).
        movie_bias: stars above or below the mean; float32, shape (n_movies,).
        n_by_user: how many movies each user rates; int64, shape (n_users,).
    """

    genres: NDArray[np.bool_]
    movie_factors: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    log_popularity: NDArray[np.float32]
    movie_bias: NDArray[np.float32]
    n_by_user: NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Ratings of consecutive users, by user and then by time; all arrays have one entry per rating."""

    users: NDArray[np.int64]  # counted from 0
    movies: NDArray[np.int64]  # counted from 0
    half_stars: NDArray[np.int64]  # 1 to 10
    seconds: NDArray[np.int64]  # since 1970, UTC


def invent_world(n_users: int, n_movies: int, n_ratings: int, rng: np.random.Generator) -> World:
    """Draw movies and users.

    Every user rates at least 20 movies where `n_ratings` and `n_movies` allow it, and at most all of them;
    the counts add up to `n_ratings`, or to all pairs where that is more than there are.
    """
    genres = _draw_genres(n_movies, rng)
    directions = rng.standard_normal((len(GENRES), _N_FACTORS))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centres = genres @ directions / np.maximum(genres.sum(axis=1, keepdims=True), 1)
    own = rng.standard_normal((n_movies, _N_FACTORS)) * _OWN_STYLE / np.sqrt(_N_FACTORS)
    loves = rng.gamma(0.25, size=(n_users, len(GENRES)))  # a few genres each
    loves /= loves.sum(axis=1, keepdims=True)
    tastes = loves @ directions + rng.standard_normal((n_users, _N_FACTORS)) * 0.35 / np.sqrt(_N_FACTORS)
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    rank = rng.permutation(n_movies)
    log_popularity = -_ZIPF_EXPONENT * np.log(rank + _ZIPF_SHIFT)
    # What is watched a lot is liked a little more than what is not, as in the real releases.
    appeal = 0.35 * (log_popularity - log_popularity.mean()) / (log_popularity.std() + 1e-9)
    bias = _MOVIE_SPREAD * (appeal + np.sqrt(1 - 0.35**2) * rng.standard_normal(n_movies))
    factors = centres + own
    return World(
        genres=genres,
        movie_factors=(factors / np.sqrt((factors**2).sum(axis=1).mean())).astype(np.float32),
        user_factors=(tastes * np.sqrt(_N_FACTORS)).astype(np.float32),
        log_popularity=log_popularity.astype(np.float32),
        movie_bias=bias.astype(np.float32),
        n_by_user=share_ratings(n_users, n_movies, n_ratings, rng),
    )


def share_ratings(n_users: int, n_movies: int, n_ratings: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many movies each user rates: log-normal above an equal minimum, at most all movies.

    >>> share_ratings(3, 100, 90, np.random.default_rng(0)).sum()
    np.int64(90)
    >>> share_ratings(2, 5, 1_000, np.random.default_rng(0))
    array([5, 5])
    """
    total = min(n_ratings, n_users * n_movies)
    counts = np.full(n_users, min(_MIN_PER_USER, total // n_users, n_movies), dtype=np.int64)
    weights = rng.lognormal(0.0, 1.1, n_users)
    while (rest := total - int(counts.sum())) > 0:
        free = np.flatnonzero(counts < n_movies)
        shares = rest * weights[free] / weights[free].sum()
        # Most of the rest in proportion, its last crumbs one by one to the heaviest users.
        extra = np.floor(shares).astype(np.int64)
        if not extra.any():
            extra[np.argsort(-weights[free], kind="stable")[:rest]] = 1
        counts[free] += np.minimum(extra, n_movies - counts[free])
    return counts


def draw_ratings(world: World, rng: np.random.Generator) -> Iterator[Block]:
    """All ratings, in blocks of users that fit into bounded memory."""
    n_movies = len(world.log_popularity)
    n_users = len(world.n_by_user)
    per_block = max(1, _BLOCK_CELLS // n_movies)
    for first in range(0, n_users, per_block):
        yield _draw_block(world, first, min(first + per_block, n_users), rng)


def _draw_block(world: World, first: int, last: int, rng: np.random.Generator) -> Block:
    affinity = world.user_factors[first:last] @ world.movie_factors.T
    users, movies = _pick(world, affinity, first, last, rng)
    liking = affinity[users, movies]
    stars = (
        _MEAN_STARS
        + _USER_SPREAD * rng.standard_normal(last - first)[users]
        + world.movie_bias[movies]
        + _TASTE_SPREAD * (liking - _mean_by_user(liking, users, last - first))
        + _NOISE * rng.standard_normal(len(users))
    )
    half_stars = np.rint(2 * stars).astype(np.int64)
    whole = (rng.random(last - first) < _WHOLE_STARS_ONLY)[users]
    half_stars[whole] = 2 * np.rint(stars[whole]).astype(np.int64)
    half_stars = np.clip(half_stars, np.where(whole, 2, 1), 10)
    seconds = _times(world.n_by_user[first:last], rng)
    return Block(users + first, movies, half_stars, seconds)


def _mean_by_user(values: NDArray[np.float32], users: NDArray[np.int64], n_users: int) -> NDArray[np.float64]:
    """Each user's mean, repeated: people choose what they like, so stars compare what was chosen."""
    n_values = np.maximum(np.bincount(users, minlength=n_users), 1)
    return (np.bincount(users, weights=values, minlength=n_users) / n_values)[users]


def _pick(
    world: World, affinity: NDArray[np.float32], first: int, last: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Movies drawn without replacement with weights popularity x exp(affinity), in a random order per user.

    An exponential race (Efraimidis and Spirakis, 2006): of arrival times ``E / weight``, the smallest n win,
    and the order of arrival is the order of watching.
    """
    arrival = affinity * np.float32(-_PICKINESS)
    arrival -= world.log_popularity
    np.exp(arrival, out=arrival)
    arrival *= rng.standard_exponential(affinity.shape, dtype=np.float32)
    counts = world.n_by_user[first:last]
    chosen = []
    for row, n in zip(arrival, counts, strict=True):
        # A partition of values and one comparison: a quarter of what argpartition costs.
        nearest = np.flatnonzero(row <= np.partition(row, n - 1)[n - 1])
        chosen.append(nearest[np.argsort(row[nearest], kind="stable")][:n])
    return np.repeat(np.arange(last - first), counts), np.concatenate(chosen)


def _times(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending seconds per user: sessions of about 18 ratings, days or weeks apart, over some years."""
    n = int(counts.sum())
    starts = np.cumsum(counts) - counts
    users = np.repeat(np.arange(len(counts)), counts)
    n_sessions = np.maximum(counts / _RATINGS_PER_SESSION, 1.0)
    between_s = np.minimum(25.0 * _DAY_S, 0.4 * _SPAN_S / n_sessions)
    gaps = 3.0 + rng.exponential(_SECONDS_BETWEEN, n)
    opens = rng.random(n) < 1 / _RATINGS_PER_SESSION
    gaps[opens] += rng.exponential(1.0, int(opens.sum())) * between_s[users[opens]]
    gaps[starts[counts > 0]] = 0.0
    passed = np.cumsum(gaps)
    passed -= passed[starts[users]]
    joined = rng.random(len(counts)) * 0.6 * _SPAN_S
    return (_FIRST_S + joined[users] + passed).astype(np.int64)


def _draw_genres(n_movies: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """One to four genres a movie, in about the shares above; one movie in two hundred has none."""
    shares = np.array(list(GENRE_SHARES.values()))
    wanted = rng.choice([0, 1, 2, 3, 4], size=n_movies, p=[0.005, 0.345, 0.36, 0.22, 0.07])
    keys = np.log(rng.standard_exponential((n_movies, len(shares)))) - np.log(shares)
    place = keys.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.asarray(place < wanted[:, None], dtype=np.bool_)
