"""Small tables that keep every rule, for tests that plant faults into them."""

from datetime import UTC, datetime

import pyarrow as pa

from recsys import columns as c
from recsys.ingest.validation.limits import Limits

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THEN = datetime(2015, 6, 1, 12, tzinfo=UTC)
LIMITS = Limits.at(NOW, min_ratings=4, n_rows={"ratings": 4, "movies": 3, "links": 3, "tags": 2})

HEALTHY = {
    "ratings": {
        "user_id": [1, 1, 2, 3],
        "movie_id": [10, 20, 10, 20],
        "rating": [0.5, 5.0, 3.0, 4.5],
        "timestamp": [THEN] * 4,
    },
    "movies": {
        "movie_id": [10, 20, 30],
        "title": ["Heat (1995)", "Alien (1979)", "Untitled"],
        "year": [1995, 1979, None],
        "genres": [["Action"], ["Horror", "Sci-Fi"], []],
    },
    "links": {"movie_id": [10, 20, 30], "imdb_id": ["tt0113277", "tt0078748", None], "tmdb_id": [949, 348, None]},
    "tags": {"user_id": [1, 1], "movie_id": [10, 10], "tag": ["heist", "slow"], "timestamp": [THEN] * 2},
    "details": {
        "movie_id": [10, 20],
        "language": ["en", None],
        "keywords": [["heist"], []],
        "directors": [["Michael Mann"], ["Ridley Scott"]],
        "actors": [["Al Pacino"], []],
    },
}


def tables(spark, changes=(), schemas=(), names=tuple(c.SNAPSHOT_TABLES)):
    """Spark DataFrames of the healthy tables with some columns replaced: {(table, column): values}."""
    frames = {}
    for name in names:
        schema = dict(schemas).get(name, c.staged_schema(name))
        columns = {key: list(values) for key, values in HEALTHY[name].items() if key in schema.names}
        columns |= {column: values for (table, column), values in dict(changes).items() if table == name}
        columns.setdefault("line", list(range(2, 2 + max(map(len, columns.values())))))
        frames[name] = spark.createDataFrame(pa.table(columns, schema=schema))
    return frames
