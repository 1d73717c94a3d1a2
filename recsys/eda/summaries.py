"""A snapshot in small tables: everything heavy happens in Spark SQL, only aggregates reach the driver.

Six collecting queries, however many ratings there are. Distributions are kept as counts of counts (how many users gave
*n* ratings), from which histograms, medians and the long tail follow exactly.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NO_GENRE = "(none listed)"
_LONG_SPAN_MONTHS = 60

# One scan gives the number, mean, distribution, span and course of the ratings.
_BY_MONTH_AND_RATING = """
    SELECT date_format(timestamp, 'yyyy-MM') AS month, rating, count(*) AS n,
           min(timestamp) AS first, max(timestamp) AS last
    FROM {ratings} GROUP BY 1, 2"""

_USERS = """
    SELECT n_ratings, round(mean * 4) / 4 AS mean, count(*) AS n
    FROM (SELECT count(*) AS n_ratings, avg(rating) AS mean FROM {ratings} GROUP BY user_id) GROUP BY 1, 2"""

_PER_MOVIE = """
    SELECT m.movie_id, m.title, m.year, m.genres, coalesce(r.n_ratings, 0) AS n_ratings, coalesce(r.total, 0) AS total
    FROM {movies} m
    LEFT JOIN (SELECT movie_id, count(*) AS n_ratings, sum(double(rating)) AS total FROM {ratings} GROUP BY movie_id) r
    ON m.movie_id = r.movie_id"""

_MOVIES = """
    SELECT n_ratings, round(try_divide(total, n_ratings) * 4) / 4 AS mean, count(*) AS n
    FROM {per_movie} GROUP BY 1, 2"""

_TOP = """
    (SELECT 'most' AS list, movie_id, title, n_ratings, total / n_ratings AS mean_rating,
            (total + :weight * :mean) / (n_ratings + :weight) AS shrunken_mean
     FROM {per_movie} WHERE n_ratings > 0 ORDER BY n_ratings DESC, movie_id LIMIT :k)
    UNION ALL
    (SELECT 'best', movie_id, title, n_ratings, total / n_ratings,
            (total + :weight * :mean) / (n_ratings + :weight) AS shrunken_mean
     FROM {per_movie} WHERE n_ratings > 0 ORDER BY shrunken_mean DESC, movie_id LIMIT :k)"""

_GROUPS = """
    SELECT kind, name, count(*) AS n_movies, sum(n_ratings) AS n_ratings,
           try_divide(sum(total), sum(n_ratings)) AS mean_rating
    FROM (
        SELECT 'genre' AS kind, explode(if(size(genres) > 0, genres, array(:no_genre))) AS name, n_ratings, total
        FROM {per_movie}
        UNION ALL
        SELECT 'decade', concat(int(floor(year / 10) * 10), 's'), n_ratings, total
        FROM {per_movie} WHERE year IS NOT NULL
    ) GROUP BY kind, name"""

_TAGS = """
    SELECT lower(trim(tag)) AS tag, count(*) AS n_uses, count(DISTINCT movie_id) AS n_movies,
           count(DISTINCT user_id) AS n_users, sum(count(*)) OVER () AS n_all
    FROM {tags} GROUP BY 1 ORDER BY n_uses DESC, tag LIMIT :k"""


@dataclass(frozen=True)
class Summaries:
    """What the report shows.

    Attributes:
        headline: n_ratings, n_users, n_movies, n_movies_rated, n_movies_unrated, n_tags, sparsity (share of the
            users × movies cells that are empty), mean_rating, median_ratings_per_user and ..._per_movie (of the rated
            ones), max_ratings_per_user, first_rating and last_rating (UTC), shrinkage (ratings of prior weight).
        tables: by name: rating_distribution, ratings_per_user, ratings_per_movie, mean_ratings, most_rated,
            best_rated, genres, decades, over_time, long_tail, tags.
        period: ``month`` or ``year``, the step of `over_time`.
    """

    headline: dict[str, Any]
    tables: dict[str, pa.Table]
    period: str


def summarise(ratings: "DataFrame", movies: "DataFrame", tags: "DataFrame", *, n_top: int = 15) -> Summaries:
    """Summarise the tables of a snapshot.

    Args:
        ratings: at least one row; columns as `recsys.columns.RATINGS`.
        movies: every rated movie among them; as `recsys.columns.MOVIES`.
        tags: may be empty; as `recsys.columns.TAGS`.
        n_top: length of the lists of movies and tags.
    """
    spark = ratings.sparkSession
    months = spark.sql(_BY_MONTH_AND_RATING, ratings=ratings).toArrow()
    users = spark.sql(_USERS, ratings=ratings).toArrow()
    per_movie = spark.sql(_PER_MOVIE, movies=movies, ratings=ratings).persist()
    try:
        by_count = spark.sql(_MOVIES, per_movie=per_movie).toArrow()
        headline = _headline(months, users, by_count)
        prior = {"weight": headline["shrinkage"], "mean": headline["mean_rating"], "k": n_top}
        top = spark.sql(_TOP, args=prior, per_movie=per_movie).toArrow()
        groups = spark.sql(_GROUPS, args={"no_genre": NO_GENRE}, per_movie=per_movie).toArrow()
    finally:
        per_movie.unpersist()
    top_tags = spark.sql(_TAGS, args={"k": n_top}, tags=tags).toArrow()
    headline["n_tags"] = top_tags["n_all"][0].as_py() if top_tags.num_rows else 0
    period, over_time = _over_time(months)
    tables = {
        "rating_distribution": _distribution(months),
        "ratings_per_user": count_histogram(users["n_ratings"].to_numpy(), users["n"].to_numpy()),
        "ratings_per_movie": count_histogram(by_count["n_ratings"].to_numpy(), by_count["n"].to_numpy()),
        "mean_ratings": _mean_ratings(users, by_count),
        "most_rated": _list(top, "most", [("n_ratings", "descending"), ("movie_id", "ascending")]),
        "best_rated": _list(top, "best", [("shrunken_mean", "descending"), ("movie_id", "ascending")]),
        "genres": _group(groups, "genre", [("n_ratings", "descending"), ("name", "ascending")]),
        "decades": _group(groups, "decade", [("name", "ascending")]),
        "over_time": over_time,
        "long_tail": long_tail(by_count["n_ratings"].to_numpy(), by_count["n"].to_numpy()),
        "tags": top_tags.drop_columns(["n_all"]),
    }
    return Summaries(headline, tables, period)


def count_histogram(counts: NDArray[np.int64], n: NDArray[np.int64]) -> pa.Table:
    """Counts of counts as a histogram over bins that widen 1, 2, 5, 10, 20, 50 and so on.

    Args:
        counts: the value counted, such as ratings per user; shape (m,), repeats allowed.
        n: how many have it; shape (m,).

    Returns:
        Columns label, low, high (inclusive), n, share; a bin for 0 only where somebody has 0.

    >>> count_histogram(np.array([0, 1, 3, 4, 7]), np.array([1, 2, 1, 1, 1])).select(["label", "n"]).to_pylist()
    [{'label': '0', 'n': 1}, {'label': '1', 'n': 2}, {'label': '2–4', 'n': 2}, {'label': '5–9', 'n': 1}]
    """
    decades = 10 ** np.arange(len(str(int(counts.max()))) + 1)
    lows = np.concatenate(([0], np.outer(decades, [1, 2, 5]).ravel()))
    lows = lows[: int(np.searchsorted(lows, counts.max(), side="right")) + 1]  # one more, the end of the last bin
    sums = np.histogram(counts, bins=lows - 0.5, weights=n)[0].round().astype(np.int64)
    highs = lows[1:] - 1
    rows = [
        {"label": f"{low:,}" if low == high else f"{low:,}–{high:,}", "low": low, "high": high, "n": int(total)}
        for low, high, total in zip(lows[:-1].tolist(), highs.tolist(), sums, strict=True)
    ]
    first = next(i for i, row in enumerate(rows) if row["n"])
    return _with_share(pa.Table.from_pylist(rows[first:]), "n")


def long_tail(counts: NDArray[np.int64], n: NDArray[np.int64]) -> pa.Table:
    """The share of all ratings that the most rated movies hold, at every per cent of the movies.

    Args:
        counts: ratings per movie; shape (m,).
        n: movies with that count; shape (m,).

    Returns:
        101 rows: share_of_movies 0, 0.01, … 1 and share_of_ratings, both in [0, 1].

    >>> tail = long_tail(np.array([6, 1, 0]), np.array([1, 4, 5]))  # one movie of ten holds 6 of 10 ratings
    >>> [round(tail["share_of_ratings"][i].as_py(), 3) for i in (0, 10, 20, 50, 100)]
    [0.0, 0.6, 0.7, 1.0, 1.0]
    """
    order = np.argsort(-counts, kind="stable")
    movies = np.concatenate(([0], np.cumsum(n[order])))
    ratings = np.concatenate(([0], np.cumsum((counts * n)[order])))
    shares = np.arange(101) / 100
    held = np.interp(shares * movies[-1], movies, ratings) / ratings[-1]
    return pa.table({"share_of_movies": shares, "share_of_ratings": held})


def _headline(months: pa.Table, users: pa.Table, movies: pa.Table) -> dict[str, Any]:
    n = months["n"].to_numpy()
    n_ratings, n_users, n_movies = int(n.sum()), _total(users), _total(movies)
    rated = movies.filter(pc.greater(movies["n_ratings"], 0))
    n_rated = _total(rated)
    return {
        "n_ratings": n_ratings,
        "n_users": n_users,
        "n_movies": n_movies,
        "n_movies_rated": n_rated,
        "n_movies_unrated": n_movies - n_rated,
        "sparsity": 1 - n_ratings / (n_users * n_movies),
        "mean_rating": float(np.average(months["rating"].to_numpy(), weights=n)),
        "median_ratings_per_user": _median(users),
        "median_ratings_per_movie": _median(rated),
        "max_ratings_per_user": pc.max(users["n_ratings"]).as_py(),
        "first_rating": pc.min(months["first"]).as_py(),
        "last_rating": pc.max(months["last"]).as_py(),
        # Each movie's mean is pulled towards the mean of all as if it had this many ratings of it more: the average
        # number per movie, so that the pull grows with the dataset.
        "shrinkage": float(max(1, round(n_ratings / max(1, n_rated)))),
    }


def _total(counts: pa.Table) -> int:
    return int(pc.sum(counts["n"]).as_py() or 0)


def _median(counts: pa.Table) -> float:
    return float(np.median(np.repeat(counts["n_ratings"].to_numpy(), counts["n"].to_numpy())))


def _distribution(months: pa.Table) -> pa.Table:
    sums = months.group_by("rating").aggregate([("n", "sum")]).sort_by("rating")
    return _with_share(sums.rename_columns(["rating", "n_ratings"]), "n_ratings")


def _over_time(months: pa.Table) -> tuple[str, pa.Table]:
    """Ratings and their mean per month, or per year when the span is long; empty periods are filled with zeros."""
    labels = months["month"].to_pylist()
    first, last = min(labels), max(labels)
    n_months = 12 * (int(last[:4]) - int(first[:4])) + int(last[5:]) - int(first[5:]) + 1
    period = "year" if n_months > _LONG_SPAN_MONTHS else "month"
    counted: dict[str, list[float]] = {label: [0, 0.0] for label in _periods(first, last, period)}
    for label, rating, n in zip(labels, months["rating"].to_pylist(), months["n"].to_pylist(), strict=True):
        row = counted[label[:4] if period == "year" else label]
        row[0] += n
        row[1] += n * rating
    table = {
        "period": list(counted),
        "n_ratings": pa.array([int(n) for n, _ in counted.values()], pa.int64()),
        "mean_rating": pa.array([total / n if n else None for n, total in counted.values()], pa.float64()),
    }
    return period, pa.table(table)


def _periods(first: str, last: str, period: str) -> list[str]:
    """Every month or year from one month to another, both included.

    >>> _periods("2019-11", "2020-02", "month")
    ['2019-11', '2019-12', '2020-01', '2020-02']
    >>> _periods("2019-11", "2020-02", "year")
    ['2019', '2020']
    """
    years = range(int(first[:4]), int(last[:4]) + 1)
    if period == "year":
        return [str(year) for year in years]
    months = [f"{year}-{month:02d}" for year in years for month in range(1, 13)]
    return [month for month in months if first <= month <= last]


def _mean_ratings(users: pa.Table, movies: pa.Table) -> pa.Table:
    """Users and rated movies by their mean rating, in quarter stars; shares of each."""
    means = np.arange(2, 21) / 4
    columns: dict[str, Any] = {"mean_rating": means}
    for name, table in (("users", users), ("movies", movies)):
        sums = dict.fromkeys(means.tolist(), 0)
        for mean, n in zip(table["mean"].to_pylist(), table["n"].to_pylist(), strict=True):
            if mean is not None:  # nobody rated it
                sums[mean] += n
        columns[f"n_{name}"] = list(sums.values())
        columns[f"share_of_{name}"] = np.array(list(sums.values())) / max(1, sum(sums.values()))
    return pa.table(columns)


def _list(top: pa.Table, name: str, order: list[tuple[str, str]]) -> pa.Table:
    return top.filter(pc.equal(top["list"], name)).sort_by(order).drop_columns(["list"])


def _group(groups: pa.Table, kind: str, order: list[tuple[str, str]]) -> pa.Table:
    return groups.filter(pc.equal(groups["kind"], kind)).sort_by(order).drop_columns(["kind"])


def _with_share(table: pa.Table, column: str) -> pa.Table:
    values = table[column].to_numpy()
    return table.append_column("share", pa.array(values / max(1, values.sum()), pa.float64()))
