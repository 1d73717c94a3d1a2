"""A snapshot in small tables: Spark counts the ratings and tags, Arrow sums up the movies.

Four collecting queries, however many ratings there are: three scans of the ratings (by month and star, by user, by
movie) and one of the tags. What comes to the driver has a row per movie at most (7 MB for 62,000 movies); from those
rows everything about movies follows without Spark, whose queries cost a second each to plan.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.ingest.eda import movie_summaries
from recsys.ingest.eda.scale import Scale

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FORMAT = 2
"""Rises whenever `Summaries.document` means something else; documents of another format are computed anew."""

HALF_STARS = Scale()
_LONG_SPAN_MONTHS = 60
_LARGEST_SHOWN = 1e15  # of counts; what is larger is shown as this

# One scan gives the number, mean, distribution, span and course of the ratings.
_BY_MONTH_AND_RATING = """
    SELECT 12 * year(timestamp) + month(timestamp) - 1 AS month, rating, count(*) AS n,
           min(timestamp) AS first, max(timestamp) AS last
    FROM {ratings} GROUP BY 1, 2"""

_USERS = """
    SELECT n_ratings, :low + :width * round((mean - :low) / :width) AS mean, count(*) AS n
    FROM (SELECT count(*) AS n_ratings, avg(rating) AS mean FROM {ratings} GROUP BY user_id) GROUP BY 1, 2"""

_PER_MOVIE = """
    SELECT m.movie_id, m.title, m.year, m.genres, d.language, d.keywords,
           coalesce(r.n_ratings, 0) AS n_ratings, coalesce(r.total, 0) AS total
    FROM {movies} m
    LEFT JOIN (SELECT movie_id, count(*) AS n_ratings, sum(double(rating)) AS total FROM {ratings} GROUP BY movie_id) r
    ON m.movie_id = r.movie_id
    LEFT JOIN {details} d ON m.movie_id = d.movie_id"""

_TAGS = """
    SELECT lower(trim(tag)) AS tag, count(*) AS n_uses, count(DISTINCT movie_id) AS n_movies,
           count(DISTINCT user_id) AS n_users, sum(count(*)) OVER () AS n_all
    FROM {tags} GROUP BY 1 ORDER BY n_uses DESC, tag LIMIT :k"""


@dataclass(frozen=True)
class Summaries:
    """What the report shows.

    Attributes:
        headline: n_ratings, n_users, n_movies, n_movies_rated, n_movies_unrated, n_tags, n_languages, n_keywords,
            sparsity (share of the users × movies cells that are empty), mean_rating, median_ratings_per_user and
            ..._per_movie (of the rated ones), mean_ratings_per_user and ..._per_movie (likewise),
            max_ratings_per_user, first_rating and last_rating (UTC), shrinkage (ratings of prior weight). Of counts
            mean_count in the place of mean_rating.
        tables: by name: rating_distribution, counts (its place where nobody rated), ratings_per_user,
            ratings_per_movie, mean_ratings, most_rated, best_rated, genres, decades, languages, keywords, over_time,
            long_tail, tags; and movies (movie_id, title, n_ratings), every one of the snapshot.
        period: ``month`` or ``year``, the step of `over_time`.
        scale: of the ratings.
    """

    headline: dict[str, Any]
    tables: dict[str, pa.Table]
    period: str
    scale: Scale = HALF_STARS

    def document(self) -> dict[str, Any]:
        """All of it as JSON values, without the titles of `movies`; `from_document` reads it back."""
        tables = {name: table.to_pydict() for name, table in self.tables.items()}
        tables["movies"].pop("title", None)  # 2 MB for ml-25m, and nobody asks for them
        headline = {name: _instant(value) or value for name, value in self.headline.items()}
        about = {"period": self.period, "scale": self.scale}
        return {"format": FORMAT, "headline": headline, "tables": tables, **about}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Summaries":
        """The summaries that `document` made values of."""
        headline = dict(document["headline"])
        for name in ("first_rating", "last_rating"):
            headline[name] = datetime.fromisoformat(headline[name])
        tables = {name: pa.table(columns) for name, columns in document["tables"].items()}
        return cls(headline, tables, document["period"], Scale(*document["scale"]))


def summarise(
    ratings: "DataFrame",
    movies: "DataFrame",
    tags: "DataFrame",
    details: "DataFrame",
    *,
    scale: Scale = HALF_STARS,
    n_top: int = 15,
) -> Summaries:
    """Summarise the tables of a snapshot.

    Args:
        ratings: at least one row; columns as `recsys.columns.RATINGS`.
        movies: every rated movie among them; as `recsys.columns.MOVIES`.
        tags: may be empty; as `recsys.columns.TAGS`.
        details: may be empty; at most a row per movie; as `recsys.columns.DETAILS`.
        scale: of the ratings. Of counts neither `mean_ratings` nor `best_rated` has rows.
        n_top: length of the lists of movies, tags, keywords and languages.
    """
    spark = ratings.sparkSession
    months = spark.sql(_BY_MONTH_AND_RATING, ratings=ratings).toArrow()
    users = spark.sql(_USERS, args={"low": scale.low, "width": scale.width}, ratings=ratings).toArrow()
    per_movie = spark.sql(_PER_MOVIE, movies=movies, ratings=ratings, details=details).toArrow()
    top_tags = spark.sql(_TAGS, args={"k": n_top}, tags=tags).toArrow()
    counts = per_movie["n_ratings"].to_numpy()
    headline = _headline(months, users, counts, scale) | {
        "n_tags": top_tags["n_all"][0].as_py() if top_tags.num_rows else 0,
        "n_languages": pc.count_distinct(per_movie["language"]).as_py(),
        "n_keywords": pc.count_distinct(pc.list_flatten(per_movie["keywords"])).as_py(),
    }
    period, over_time = _over_time(months)
    tables = {
        "rating_distribution": _distribution(months, scale),
        "counts": _counts(months, scale),
        "ratings_per_user": count_histogram(users["n_ratings"].to_numpy(), users["n"].to_numpy()),
        "ratings_per_movie": count_histogram(counts, np.ones(len(counts), np.int64)),
        "mean_ratings": _mean_ratings(users, per_movie, scale),
        "over_time": over_time,
        "long_tail": long_tail(counts, np.ones(len(counts), np.int64)),
        "tags": top_tags.drop_columns(["n_all"]),
        "movies": per_movie.select(["movie_id", "title", "n_ratings"]).sort_by("movie_id"),
        **movie_summaries.tops(per_movie, headline[_mean_name(scale)], headline["shrinkage"], n_top),
        **movie_summaries.groups(per_movie, n_top),
    }
    if not scale.has_ratings:
        tables["best_rated"] = tables["best_rated"][:0]
    return Summaries(headline, tables, period, scale)


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


def _mean_name(scale: Scale) -> str:
    return "mean_rating" if scale.has_ratings else "mean_count"


def _headline(months: pa.Table, users: pa.Table, movies: NDArray[np.int64], scale: Scale) -> dict[str, Any]:
    n = months["n"].to_numpy()
    rated = movies[movies > 0]
    n_ratings, n_users, n_movies = int(n.sum()), int(pc.sum(users["n"]).as_py()), len(movies)
    per_user = np.repeat(users["n_ratings"].to_numpy(), users["n"].to_numpy())
    return {
        "n_ratings": n_ratings,
        "n_users": n_users,
        "n_movies": n_movies,
        "n_movies_rated": len(rated),
        "n_movies_unrated": n_movies - len(rated),
        "sparsity": 1 - n_ratings / (n_users * n_movies),
        _mean_name(scale): float(np.average(months["rating"].to_numpy(), weights=n)),
        "median_ratings_per_user": float(np.median(per_user)),
        "median_ratings_per_movie": float(np.median(rated)),
        "mean_ratings_per_user": n_ratings / n_users,
        "mean_ratings_per_movie": n_ratings / len(rated),
        "max_ratings_per_user": int(per_user.max()),
        "first_rating": pc.min(months["first"]).as_py(),
        "last_rating": pc.max(months["last"]).as_py(),
        # Each movie's mean is pulled towards the mean of all as if it had this many ratings of it more: the average
        # number per movie, so that the pull grows with the dataset.
        "shrinkage": float(max(1, round(n_ratings / len(rated)))),
    }


def _instant(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else None


def _distribution(months: pa.Table, scale: Scale) -> pa.Table:
    """How many ratings there are of each value, or about it where the scale has too many; none of counts."""
    ratings = months["rating"].to_numpy()
    if scale.bins > scale.step:
        ratings = np.floor((ratings - scale.low) / scale.bins + 0.5) * scale.bins + scale.low
    table = pa.table({"rating": ratings, "n": months["n"]})[: len(ratings) if scale.has_ratings else 0]
    sums = table.group_by("rating").aggregate([("n", "sum")]).sort_by("rating")
    return _with_share(sums.rename_columns(["rating", "n_ratings"]), "n_ratings")


def _counts(months: pa.Table, scale: Scale) -> pa.Table:
    """How many pairs of user and movie there are of each count, in bins that widen; none of ratings."""
    counts = np.ceil(np.minimum(months["rating"].to_numpy(), _LARGEST_SHOWN)).astype(np.int64)
    table = count_histogram(counts, months["n"].to_numpy())
    return table if not scale.has_ratings else table[:0]


def _over_time(months: pa.Table) -> tuple[str, pa.Table]:
    """Ratings and their mean per month, or per year when the span is long; empty periods are filled with zeros."""
    numbers = months["month"].to_pylist()
    first, last = min(numbers), max(numbers)
    period = "year" if last - first >= _LONG_SPAN_MONTHS else "month"
    counted: dict[str, list[float]] = {_label(month, period): [0, 0.0] for month in range(first, last + 1)}
    for month, rating, n in zip(numbers, months["rating"].to_pylist(), months["n"].to_pylist(), strict=True):
        row = counted[_label(month, period)]
        row[0] += n
        row[1] += n * rating
    table = {
        "period": list(counted),
        "n_ratings": pa.array([int(n) for n, _ in counted.values()], pa.int64()),
        "mean_rating": pa.array([total / n if n else None for n, total in counted.values()], pa.float64()),
    }
    return period, pa.table(table)


def _label(month: int, period: str) -> str:
    """A month, counted from the year 0, in words.

    >>> _label(12 * 2019 + 11, "month"), _label(12 * 2019 + 11, "year")
    ('2019-12', '2019')
    """
    return str(month // 12) if period == "year" else f"{month // 12}-{month % 12 + 1:02d}"


def _mean_ratings(users: pa.Table, movies: pa.Table, scale: Scale) -> pa.Table:
    """Users and rated movies by their mean rating, in bins of the scale; shares of each. No rows of counts."""
    low, width = scale.low, scale.width
    means = low + width * np.arange(round((scale.high - low) / width) + 1 if scale.has_ratings else 0)
    rated = movies.filter(pc.greater(movies["n_ratings"], 0))
    # Halves up, as Spark rounds the users' means.
    of_movies = rated["total"].to_numpy() / rated["n_ratings"].to_numpy()
    of_movies = low + width * np.floor((of_movies - low) / width + 0.5)
    columns: dict[str, Any] = {"mean_rating": means}
    for name, values, weights in (
        ("users", users["mean"].to_numpy(), users["n"].to_numpy()),
        ("movies", of_movies, np.ones(len(of_movies))),
    ):
        edges = low + width * (np.arange(len(means) + 1) - 0.5)
        n = np.histogram(values, bins=edges, weights=weights)[0].round().astype(np.int64) if len(means) else means
        columns[f"n_{name}"] = n
        columns[f"share_of_{name}"] = n / max(1, n.sum())
    return pa.table(columns)


def _with_share(table: pa.Table, column: str) -> pa.Table:
    values = table[column].to_numpy()
    return table.append_column("share", pa.array(values / max(1, values.sum()), pa.float64()))
