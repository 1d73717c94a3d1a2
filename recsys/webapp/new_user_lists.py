"""A list for somebody who was never trained on, from a few ratings or counts: at the terminal, or over the API."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.errors import ConfigError, NotFoundError
from recsys.models.recommender import Recommender
from recsys.rating_scales import LARGEST_COUNT
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.topk.lists import list_model
from recsys.webapp import queries
from recsys.webapp.inputs import LONGEST_LIST, MOST_RATINGS
from recsys.webapp.source_id_lookup import SOURCE_MOVIE_ID, source_id

# No user of a data set has it: ids are not negative.
_NEWCOMER = -1


def recommend(
    store: Store, ratings: Mapping[int, float], k: int = 10, published: queries.Published | None = None
) -> list[queries.Row]:
    """What somebody with these ratings is recommended by the model behind a release, best first.

    Args:
        store: where the release and its model are.
        ratings: stars by movie id, or where nobody rated, how often; without any, or where none is liked, the list is
            the popular one.
        k: list length, where there are so many movies left.
        published: the release; by default the current one.

    Returns:
        ``{rank, movie_id, title, score, predicted_rating, source}``; `source` is ``fold_in`` or ``popular``.

    Raises:
        ConfigError: stars outside of the scale, counts that are not above 0, or k out of range.
        NotFoundError: nothing is published, the model is not in the store, or a movie is not in the release.
    """
    published = published or queries.published(store)
    catalogue = queries.catalogue(store, published.version_id)
    pair = _recommender(store, layout.recommender(layout.model(published.lineage.run_id)))
    pair = pair if published.lineage.has_ratings else pair.without_rating()
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
        pair.predict,
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


def _check(ratings: Mapping[int, float], k: int, catalogue: Mapping[int, Any], pair: Recommender) -> None:
    if not 1 <= k <= LONGEST_LIST or len(ratings) > MOST_RATINGS:
        raise ConfigError(
            f"k is {str(k)[:20]} and there are {len(ratings):,} ratings; lists have 1 to {LONGEST_LIST:,} movies, and "
            f"up to {MOST_RATINGS:,} ratings are taken. Nothing was looked up. Ask for less."
        )
    if pair.rating:
        low, high = pair.rating.low, pair.rating.high
        what, fault = f"The scale is {low:g} to {high:g} stars", "ratings are not on it"
    else:
        low, high = math.ulp(0.0), LARGEST_COUNT
        what, fault = f"These data have no ratings, but counts above 0 and at most {high:,.0f}", "given are none"
    wrong = [(movie, stars) for movie, stars in ratings.items() if not (math.isfinite(stars) and low <= stars <= high)]
    if wrong:
        named = (f"{catalogue.get(movie, {}).get(SOURCE_MOVIE_ID, movie)}={stars:g}" for movie, stars in wrong)
        raise ConfigError(
            f"{what}; {len(wrong):,} of {len(ratings):,} {fault}: {_some(named)}. Nothing was looked up. Correct them."
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
