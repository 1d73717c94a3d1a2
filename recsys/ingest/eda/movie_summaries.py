"""Summaries that follow from one row per movie: the most and best rated, and groups by what a movie is."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_GENRE = "(none listed)"
UNKNOWN = "(unknown)"
OTHER = "(other)"

_MOST_FIRST = [("n_ratings", "descending"), ("name", "ascending")]


def tops(per_movie: pa.Table, mean_rating: float, shrinkage: float, n_top: int) -> dict[str, pa.Table]:
    """The most and the best rated movies.

    Args:
        per_movie: movie_id, title, n_ratings and total (sum of its ratings), a row per movie.
        mean_rating: of all ratings; each movie's mean is pulled towards it
        shrinkage: as if the movie had this many ratings of it more.
        n_top: length of the lists.

    Returns:
        `most_rated` and `best_rated`: movie_id, title, n_ratings, mean_rating, shrunken_mean.

    >>> movies = pa.table({"movie_id": [1, 2], "title": ["a", "b"], "n_ratings": [8, 1], "total": [32.0, 5.0]})
    >>> tops(movies, 3.0, 1.0, 1)["best_rated"].select(["title", "shrunken_mean"]).to_pylist()  # 8 / 2 against 35 / 9
    [{'title': 'b', 'shrunken_mean': 4.0}]
    """
    rated = per_movie.filter(pc.greater(per_movie["n_ratings"], 0))
    n, total = rated["n_ratings"].to_numpy(), rated["total"].to_numpy()
    table = rated.select(["movie_id", "title", "n_ratings"])
    table = table.append_column("mean_rating", pa.array(total / n))
    shrunken = (total + shrinkage * mean_rating) / (n + shrinkage)
    table = table.append_column("shrunken_mean", pa.array(shrunken))
    return {
        "most_rated": table.sort_by([("n_ratings", "descending"), ("movie_id", "ascending")])[:n_top],
        "best_rated": table.sort_by([("shrunken_mean", "descending"), ("movie_id", "ascending")])[:n_top],
    }


def groups(per_movie: pa.Table, n_top: int) -> dict[str, pa.Table]:
    """Movies by genre, decade, original language and keyword.

    Args:
        per_movie: genres, year, language, keywords, n_ratings, total; a row per movie.
        n_top: languages shown before the others are added up, and keywords shown.

    Returns:
        `genres` and `languages` (most ratings first), `decades` (in order), `keywords` (on most movies first): name,
        n_movies, n_ratings, mean_rating (null without ratings). Movies without a genre or a language have a row of
        their own. Languages and keywords are empty where no movie has one.
    """
    years = per_movie["year"].to_numpy(zero_copy_only=False).astype(float)
    decades = pa.array([None if np.isnan(year) else f"{int(year) // 10 * 10}s" for year in years], pa.string())
    language = per_movie["language"]
    languages = _groups(per_movie, pc.fill_null(language, UNKNOWN)).sort_by(_MOST_FIRST)
    keywords = _groups(*_exploded(per_movie, "keywords")).sort_by([("n_movies", "descending"), ("name", "ascending")])
    return {
        "genres": _genres(per_movie).sort_by(_MOST_FIRST),
        "decades": _groups(per_movie, decades).sort_by("name"),
        "languages": with_others(languages, n_top) if language.null_count < len(language) else languages[:0],
        "keywords": keywords[:n_top],
    }


def with_others(table: pa.Table, n_top: int) -> pa.Table:
    """A table of groups cut after `n_top` rows, the rest added up in one row more.

    >>> rows = {"name": ["en", "fr", "de"], "n_movies": [5, 1, 1], "n_ratings": [9, 3, 1], "mean_rating": [3., 4., 2.]}
    >>> with_others(pa.table(rows), 1).to_pylist()[1]
    {'name': '(other)', 'n_movies': 2, 'n_ratings': 4, 'mean_rating': 3.5}
    """
    if table.num_rows <= n_top:
        return table
    rest = table[n_top:]
    n, mean = rest["n_ratings"].to_numpy(), pc.fill_null(rest["mean_rating"], 0.0).to_numpy()
    row = {
        "name": OTHER,
        "n_movies": pc.sum(rest["n_movies"]).as_py(),
        "n_ratings": int(n.sum()),
        "mean_rating": float((n * mean).sum() / n.sum()) if n.sum() else None,
    }
    return pa.concat_tables([table[:n_top], pa.Table.from_pylist([row], schema=table.schema)])


def _genres(per_movie: pa.Table) -> pa.Table:
    has_none = pc.equal(pc.fill_null(pc.list_value_length(per_movie["genres"]), 0), 0)
    without = per_movie.filter(has_none)
    listed, names = _exploded(per_movie, "genres")
    rows = pa.concat_tables([table.select(["n_ratings", "total"]) for table in (listed, without)])
    return _groups(rows, pa.chunked_array([*names.chunks, pa.array([NO_GENRE] * without.num_rows, pa.string())]))


def _exploded(table: pa.Table, column: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """A row per value of a column of lists, and those values."""
    lists = table[column].combine_chunks()
    return table.take(pc.list_parent_indices(lists)), pa.chunked_array([pc.list_flatten(lists)])


def _groups(table: pa.Table, names: pa.Array | pa.ChunkedArray | Sequence[str]) -> pa.Table:
    """Rows of movies added up by name; those without a name are left out."""
    rows = pa.table({"name": names, "n_ratings": table["n_ratings"], "total": table["total"]}).filter(
        pc.field("name").is_valid()
    )
    sums = rows.group_by("name").aggregate([("name", "count"), ("n_ratings", "sum"), ("total", "sum")])
    n = sums["n_ratings_sum"]
    mean = pc.if_else(pc.greater(n, 0), pc.divide(sums["total_sum"], pc.max_element_wise(n, 1)), None)
    return pa.table(
        {
            "name": sums["name"].cast(pa.string()),
            "n_movies": sums["name_count"],
            "n_ratings": n,
            "mean_rating": mean.cast(pa.float64()),
        }
    )
