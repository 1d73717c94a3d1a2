"""What must hold of lists and neighbours before readers may see them.

Every rule is one vectorised pass over the stored rows: 1.6 million rows against 25 million ratings take
seconds. The first rule that fails stops the publication and says how many rows break it, and which.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import columns
from recsys.errors import DataError
from recsys.ids import positions
from recsys.scoring.similar import GENRES
from recsys.topk.lists import ALS, FOLD_IN, POPULAR

Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]
# A rule in words, and the rows that break it.
Rule = tuple[str, Mask]

_N_EXAMPLES = 3
_NOTHING_DONE = "Nothing was published, the current release stands. This is a fault of the scoring: report these rows."


def check_lists(
    lists: pa.Table, rated_user_ids: Ids, rated_movie_ids: Ids, catalogue: Ids, k: int, *, has_ratings: bool = True
) -> dict[str, int]:
    """Prove that the lists are fit to publish.

    Args:
        lists: rows of columns.RECOMMENDATIONS in stored order.
        rated_user_ids: users of the snapshot's ratings; shape (n_ratings,).
        rated_movie_ids: their movies; shape (n_ratings,).
        catalogue: movie ids of the snapshot.
        k: list length.
        has_ratings: whether ratings are predicted; else each of them is null.

    Returns:
        ``{n_rows, n_users, n_als, n_fold_in, n_popular, n_short}``; short are lists of users with fewer than k unseen
        movies.

    Raises:
        DataError: the first rule that does not hold, with the number of rows and examples.
    """
    name = "recommendations"
    _check_schema(name, lists, columns.RECOMMENDATIONS, without=() if has_ratings else (columns.PREDICTED_RATING,))
    all_users, all_movies = np.unique(rated_user_ids), np.unique(catalogue)
    users, movies = (_column(lists, column) for column in (columns.USER_ID, columns.MOVIE_ID))
    at_users = positions(all_users, users)
    _enforce(
        name, lists, [("user_id is known", at_users < 0), ("movie_id is known", positions(all_movies, movies) < 0)]
    )
    rated = _rated_pairs(rated_user_ids, rated_movie_ids, all_movies)
    n_seen = np.bincount(positions(all_users, rated >> 32), minlength=len(all_users))
    wanted = np.minimum(k, len(all_movies) - n_seen)
    found = np.bincount(at_users, minlength=len(all_users))
    _enforce_lengths(name, "every user has min(k, unseen movies) movies", all_users, found, wanted)
    _enforce(name, lists, _list_rules(lists, users, movies, [ALS, FOLD_IN, POPULAR]))
    follows = _against_previous(np.equal, users) & _is(lists, FOLD_IN)
    _enforce(name, lists, [("a user is known or folded in, not both", follows & np.roll(_is(lists, ALS), 1))])
    _enforce(name, lists, [("the user has not rated the movie", _contains(rated, _pairs(users, movies)))])
    return {
        "n_rows": lists.num_rows,
        "n_users": len(all_users),
        **{f"n_{source}": int(_is(lists, source).sum()) for source in (ALS, FOLD_IN, POPULAR)},
        "n_short": int((wanted < k).sum()),
    }


def check_similar(
    similar: pa.Table, catalogue: Ids, n: int, similarity: str = "cosine", supported: Ids | None = None
) -> dict[str, int]:
    """Prove that the neighbours are fit to publish.

    Args:
        similar: rows of columns.SIMILAR_MOVIES in stored order.
        catalogue: movie ids of the snapshot.
        n: neighbours per movie.
        similarity: what the scores by taste are: ``cosine``, or ``euclidean`` for negated distances.
        supported: movies with ratings enough to be neighbours by taste; all by default.

    Returns:
        ``{n_rows, n_movies, n_als, n_genres}``.

    Raises:
        DataError: the first rule that does not hold, with the number of rows and examples.
    """
    name = "similar_movies"
    _check_schema(name, similar, columns.SIMILAR_MOVIES)
    all_movies = np.unique(catalogue)
    movies, neighbours = (_column(similar, column) for column in (columns.MOVIE_ID, columns.SIMILAR_MOVIE_ID))
    at_movies, at_neighbours = positions(all_movies, movies), positions(all_movies, neighbours)
    known = [("movie_id is known", at_movies < 0), ("similar_movie_id is known", at_neighbours < 0)]
    _enforce(name, similar, [*known, ("no movie is its own neighbour", movies == neighbours)])
    wanted = np.full(len(all_movies), min(n, len(all_movies) - 1))
    found = np.bincount(at_movies, minlength=len(all_movies))
    _enforce_lengths(name, "every movie has min(n, other movies) neighbours", all_movies, found, wanted)
    _enforce(name, similar, _list_rules(similar, movies, neighbours, [ALS, GENRES]))
    _enforce(
        name, similar, _taste_rules(similar, neighbours, similarity, all_movies if supported is None else supported)
    )
    n_als = int(_is(similar, ALS).sum())
    n_movies = len(all_movies)
    return {"n_rows": similar.num_rows, "n_movies": n_movies, "n_als": n_als, "n_genres": similar.num_rows - n_als}


def _taste_rules(similar: pa.Table, neighbours: Ids, similarity: str, supported: Ids) -> Iterator[Rule]:
    """What holds of the model's neighbours."""
    by_taste, scores = _is(similar, ALS), _column(similar, columns.SCORE)
    yield "a neighbour by taste has ratings enough", by_taste & ~np.isin(neighbours, supported)
    if similarity == "cosine":
        yield "cosines are in [-1, 1]", by_taste & (np.abs(scores) > 1)
    else:
        yield "negated distances are not above 0", by_taste & (scores > 0)


def _list_rules(table: pa.Table, owners: Ids, movies: Ids, sources: Sequence[str]) -> Iterator[Rule]:
    """What holds of every list, whoever owns it."""
    yield "ids ascend in the stored order", _against_previous(np.less, owners)
    same_list = _against_previous(np.equal, owners)
    places = np.arange(len(owners))
    starts = np.maximum.accumulate(np.where(same_list, 0, places)) if len(owners) else places
    yield "ranks run 1, 2, 3 … on each list", _column(table, columns.RANK) != places - starts + 1
    yield "no movie stands twice on a list", _repeats(_pairs(owners, movies))
    scores = _column(table, columns.SCORE)
    floats = [
        _column(table, field.name)
        for field in table.schema
        if pa.types.is_floating(field.type) and table[field.name].null_count < len(owners)
    ]
    yield (
        "scores and predicted ratings are finite",
        ~np.logical_and.reduce([np.isfinite(values) for values in floats] or [np.ones(len(owners), bool)]),
    )
    places_of_sources = np.select([_is(table, source) for source in sources], range(len(sources)), -1)
    yield f"the source is {' or '.join(sources)}", places_of_sources < 0
    yield f"{' comes before '.join(sources)}", same_list & _against_previous(np.less, places_of_sources)
    same_source = same_list & _against_previous(np.equal, places_of_sources)
    yield "scores descend within a list and source", same_source & _against_previous(np.greater, scores)


def _enforce(name: str, table: pa.Table, rules: Iterable[Rule]) -> None:
    for rule, broken in rules:
        if broken.any():
            rows = np.flatnonzero(broken)
            examples = "; ".join(str(row) for row in table.take(rows[:_N_EXAMPLES]).to_pylist())
            raise DataError(
                f"{name}: the rule «{rule}» is broken by {len(rows):,} of {len(broken):,} rows, 0 allowed: "
                f"{examples}. {_NOTHING_DONE}"
            )


def _enforce_lengths(name: str, rule: str, ids: Ids, found: NDArray[np.integer], wanted: NDArray[np.integer]) -> None:
    broken = np.flatnonzero(found != wanted)
    if len(broken):
        examples = "; ".join(f"{ids[at]} has {found[at]} instead of {wanted[at]}" for at in broken[:_N_EXAMPLES])
        raise DataError(
            f"{name}: the rule «{rule}» is broken for {len(broken):,} of {len(ids):,} ids, 0 allowed: "
            f"{examples}. {_NOTHING_DONE}"
        )


def _check_schema(name: str, table: pa.Table, schema: pa.Schema, without: Sequence[str] = ()) -> None:
    if not table.schema.equals(schema):
        raise DataError(f"{name}: stored as ({table.schema}), expected ({schema}). {_NOTHING_DONE}")
    nulls = {column: table.column(column).null_count for column in table.column_names}
    for column in without:
        if nulls.pop(column) < table.num_rows:
            raise DataError(f"{name}: {column} is not null, though there is no rating model. {_NOTHING_DONE}")
    if any(nulls.values()):
        raise DataError(f"{name}: the rule «no value is missing» is broken: {nulls} by column. {_NOTHING_DONE}")


def _rated_pairs(user_ids: Ids, movie_ids: Ids, catalogue: Ids) -> NDArray[np.int64]:
    """The distinct pairs that were rated, of movies in the catalogue, ascending."""
    pairs = _pairs(user_ids, movie_ids)[positions(catalogue, movie_ids) >= 0]
    # Snapshots are stored in this order: 25 million need no sort then.
    return pairs if (pairs[1:] > pairs[:-1]).all() else np.unique(pairs)


def _pairs(user_ids: Ids, movie_ids: Ids) -> NDArray[np.int64]:
    """Two 32-bit ids as one 64-bit number; ids are not negative, so pairs sort as their numbers do."""
    return (user_ids.astype(np.int64) << 32) | movie_ids.astype(np.int64)


def _contains(ascending: NDArray[np.int64], wanted: NDArray[np.int64]) -> Mask:
    at = np.searchsorted(ascending, wanted)
    inside = at < len(ascending)
    inside[inside] = ascending[at[inside]] == wanted[inside]
    return inside


def _repeats(values: NDArray[np.int64]) -> Mask:
    order = np.argsort(values, kind="stable")
    repeated = np.zeros(len(values), bool)
    repeated[order] = _against_previous(np.equal, values[order])
    return repeated


def _against_previous(compare: Callable[[Any, Any], Any], values: NDArray[Any]) -> Mask:
    """Each value compared with the one before it; false for the first.

    >>> _against_previous(np.less, np.array([3, 1, 2])).tolist()
    [False, True, False]
    """
    result = np.zeros(len(values), bool)
    result[1:] = compare(values[1:], values[:-1])
    return result


def _column(table: pa.Table, column: str) -> NDArray[Any]:
    values: NDArray[Any] = table.column(column).to_numpy()
    return values


def _is(table: pa.Table, source: str) -> Mask:
    mask: Mask = pc.equal(table.column(columns.SOURCE), source).to_numpy()
    return mask
