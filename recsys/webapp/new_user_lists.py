"""A list for somebody who was never trained on, from a handful of ratings: asked at the terminal, or over the API."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.errors import ConfigError, NotFoundError
from recsys.models.recommender import Recommender
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.topk.lists import list_model
from recsys.webapp import queries
from recsys.webapp.inputs import LONGEST_LIST, MOST_RATINGS
from recsys.webapp.source_id_lookup import source_id

# No user of a data set has it: ids are not negative.
_NEWCOMER = -1


def recommend(
    store: Store, ratings: Mapping[int, float], k: int = 10, published: queries.Published | None = None
) -> list[queries.Row]:
    """What somebody with these ratings is recommended by the model behind a release, best first.

    Args:
        store: where the release and its model are.
        ratings: stars by movie id; without any, or where none is liked, the list is the popular one.
        k: list length, where there are so many movies left.
        published: the release; by default the current one.

    Returns:
        ``{rank, movie_id, title, score, predicted_rating, source}``; `source` is ``fold_in`` or ``popular``.

    Raises:
        ConfigError: stars outside of the scale, or k out of range.
        NotFoundError: nothing is published, the model is not in the store, or a movie is not in the release.
    """
    published = published or queries.published(store)
    catalogue = queries.catalogue(store, published.version_id)
    pair = _recommender(store, layout.recommender(layout.model(published.lineage.run_id)))
    _check(ratings, k, catalogue, pair)
    movie_ids, stars = np.array([*ratings], np.int32), np.array([*ratings.values()], np.float32)
    folded = np.empty(0, np.int32)
    if pair.recipe is not None and len(movie_ids):
        new = pair.fold_in(np.full(len(movie_ids), _NEWCOMER), movie_ids, stars)
        pair, folded = pair.with_users(new), new.user_ids
    ranking = pair.ranking
    model = list_model(
        (ranking.user_ids, ranking.user_factors, ranking.movie_ids, ranking.movie_factors),
        (pair.popular_ids, pair.popular_counts),
        np.array([*catalogue], np.int32),
        pair.rating.predict,
        k,
        folded,
    )
    asked = pa.RecordBatch.from_pydict(
        {columns.USER_ID: [_NEWCOMER], columns.SEEN: [np.sort(movie_ids)]}, columns.SEEN_LISTS
    )
    names = (*queries.SHOWN, columns.SOURCE)
    rows = model(asked).to_pylist()
    found = []
    for row in rows:
        movie = catalogue[row[columns.MOVIE_ID]]
        shown = {**row, columns.TITLE: movie[columns.TITLE]}
        found.append({**{name: shown[name] for name in names}, **source_id(movie)})
    return found


def read_csv(path: Path, number: Callable[[str], int]) -> dict[int, float]:
    """Ratings of one person from a CSV file with the columns movie_id (or movieId) and rating; others do not matter.

    Args:
        path: of the file.
        number: the number of a movie that the source calls so.

    Raises:
        ConfigError: the file cannot be read, has no such columns or too many lines, or a line is no rating.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            names = lines.fieldnames or []
            movie, stars = next((n for n in ("movie_id", "movieId") if n in names), ""), "rating"
            if not movie or stars not in names:
                raise ConfigError(
                    f"{path} has the columns {', '.join(names) or '(none)'}; movie_id and rating are needed. "
                    "Nothing was looked up. Name them in its first line."
                )
            # One more than may be is enough to know.
            rows = [
                (number((line[movie] or "").strip()), float(line[stars])) for line in islice(lines, MOST_RATINGS + 1)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV file that can be read: {error}. Nothing was looked up.") from error
    except (TypeError, ValueError, NotFoundError) as error:
        raise ConfigError(
            f"{path}, line {lines.line_num} is no rating: {str(error)[:200]}. Nothing was looked up. Correct it."
        ) from error
    if len(rows) > MOST_RATINGS:
        raise ConfigError(
            f"{path} holds more than {MOST_RATINGS:,} ratings, which is as many as are taken. Nothing was looked up. "
            "Give those of one person, the newest perhaps."
        )
    return dict(rows)


def _check(ratings: Mapping[int, float], k: int, catalogue: Mapping[int, Any], pair: Recommender) -> None:
    low, high = pair.rating.low, pair.rating.high
    if not 1 <= k <= LONGEST_LIST or len(ratings) > MOST_RATINGS:
        raise ConfigError(
            f"k is {str(k)[:20]} and there are {len(ratings):,} ratings; lists have 1 to {LONGEST_LIST:,} movies, and "
            f"up to {MOST_RATINGS:,} ratings are taken. Nothing was looked up. Ask for less."
        )
    wrong = [(movie, stars) for movie, stars in ratings.items() if not (math.isfinite(stars) and low <= stars <= high)]
    if wrong:
        raise ConfigError(
            f"The scale is {low:g} to {high:g} stars; {len(wrong):,} of {len(ratings):,} ratings are not on it: "
            f"{_some(f'{movie}={stars:g}' for movie, stars in wrong)}. Nothing was looked up. Correct them."
        )
    if unknown := sorted(set(ratings) - set(catalogue)):
        raise NotFoundError(
            f"No movie has the id {_some(unknown)} in the current release. Nothing was looked up. Look for the title."
        )


def _some(items: Iterable[object]) -> str:
    return ", ".join(str(item)[:40] for item in islice(items, 10))


@lru_cache(maxsize=2)
def _recommender(store: Store, key: str) -> Recommender:
    """A stored model never changes, so it is read once per process."""
    if not store.exists(key):
        raise NotFoundError(
            f"{key}: the model of the release is not in {store.url} any more. Run `recsys score` again."
        )
    return Recommender.from_bytes(store.get(key))
