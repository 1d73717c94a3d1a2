"""The one vocabulary: column names and Arrow schemas of every table that is stored or handed on.

Ids are 32-bit integers as MovieLens publishes them (MLlib's ALS accepts no wider ones); ratings are
stars; timestamps are UTC with millisecond resolution, the finest both Parquet and Spark agree on.
"""

from collections.abc import Sequence

import pyarrow as pa

USER_ID = "user_id"
MOVIE_ID = "movie_id"
RATING = "rating"
TIMESTAMP = "timestamp"
TITLE = "title"
YEAR = "year"
GENRES = "genres"
IMDB_ID = "imdb_id"
TMDB_ID = "tmdb_id"
TAG = "tag"
LANGUAGE = "language"
KEYWORDS = "keywords"
DIRECTORS = "directors"
ACTORS = "actors"
LINE = "line"
RANK = "rank"
SCORE = "score"
PREDICTED_RATING = "predicted_rating"
SOURCE = "source"
SIMILAR_MOVIE_ID = "similar_movie_id"
N_RATINGS = "n_ratings"
MEAN_RATING = "mean_rating"
SEEN = "seen"

_UTC_MS = pa.timestamp("ms", tz="UTC")

# --- what a snapshot holds -------------------------------------------------------------------------
RATINGS = pa.schema([
    (USER_ID, pa.int32()),
    (MOVIE_ID, pa.int32()),
    (RATING, pa.float32()),
    (TIMESTAMP, _UTC_MS),
])  # fmt: skip
MOVIES = pa.schema([
    (MOVIE_ID, pa.int32()),
    (TITLE, pa.string()),               # as published, the year in brackets included
    (YEAR, pa.int16()),                 # null where the title names none
    (GENRES, pa.list_(pa.string())),    # empty where the source says "(no genres listed)"
])  # fmt: skip
LINKS = pa.schema([
    (MOVIE_ID, pa.int32()),
    (IMDB_ID, pa.string()),             # with its prefix and zeros, "tt0114709"; null where unknown
    (TMDB_ID, pa.int32()),              # null where unknown
])  # fmt: skip
TAGS = pa.schema([
    (USER_ID, pa.int32()),
    (MOVIE_ID, pa.int32()),
    (TAG, pa.string()),
    (TIMESTAMP, _UTC_MS),
])  # fmt: skip
DETAILS = pa.schema([
    (MOVIE_ID, pa.int32()),
    (LANGUAGE, pa.string()),                # of the original, ISO 639-1 ("en"); null where unknown
    (KEYWORDS, pa.list_(pa.string())),
    (DIRECTORS, pa.list_(pa.string())),
    (ACTORS, pa.list_(pa.string())),        # in the order of the credits, the first five
])  # fmt: skip
SNAPSHOT_TABLES: dict[str, pa.Schema] = {
    "ratings": RATINGS,
    "movies": MOVIES,
    "links": LINKS,
    "tags": TAGS,
    "details": DETAILS,  # what only some sources know of a movie; empty for MovieLens
}

# Where a source's ids are no 32-bit integers (text, larger numbers, zeros in front that tell two apart), the tables
# hold numbers in their place, and the snapshot a dictionary of each.
SOURCE_ID = "source_id"
ID_TABLES: dict[str, pa.Schema] = {
    "user_ids": pa.schema([(USER_ID, pa.int32()), (SOURCE_ID, pa.string())]),
    "movie_ids": pa.schema([(MOVIE_ID, pa.int32()), (SOURCE_ID, pa.string())]),
}


def source_name(key: str) -> str:
    """The column of a published table with the source's own ids, beside the numbers in their place.

    >>> source_name("user_id")
    'source_user_id'
    """
    return f"source_{key}"


# Made of the ratings when a snapshot is published, so that scoring need not group them.
SEEN_LISTS = pa.schema([
    (USER_ID, pa.int32()),              # ascending
    (SEEN, pa.list_(pa.int32())),       # movie ids the user has rated, ascending
])  # fmt: skip

# Rows that were kept out of the tables above, each with its reason. Nothing that was read is ever dropped silently.
QUARANTINE = pa.schema([
    ("table", pa.string()),     # the table the row would have gone to
    ("file", pa.string()),      # where it stands: the member of the archive,
    (LINE, pa.int64()),         # and its first line there, counted from 1 with the header; a row number in Parquet
    ("reason", pa.string()),    # one word for counting: "malformed", "duplicate", "unknown_movie", ...
    ("fault", pa.string()),     # a sentence for people
    ("content", pa.string()),   # the row as it stands in the source; null where only its line is known
])  # fmt: skip


LINE_BITS = 32
"""A staged row's `LINE` holds its line in these, and above them the number of the file, from 0, of those of a table."""


def place_of(files: Sequence[str], line: int) -> tuple[str, int]:
    """The file in which a staged row stands, of those its table was read from, and its line there.

    >>> place_of(["a.csv", "b.csv"], 7), place_of(["a.csv", "b.csv"], (1 << 32) + 7)
    (('a.csv', 7), ('b.csv', 7))
    """
    return files[line >> LINE_BITS], line & ((1 << LINE_BITS) - 1)


def staged_schema(table: str) -> pa.Schema:
    """A snapshot table's schema before validation: with the line each row came from, unique within the table.

    >>> staged_schema("links").names
    ['movie_id', 'imdb_id', 'tmdb_id', 'line']
    """
    return SNAPSHOT_TABLES[table].append(pa.field(LINE, pa.int64()))


# --- what is published to readers ------------------------------------------------------------------
RECOMMENDATIONS = pa.schema([
    (USER_ID, pa.int32()),
    (RANK, pa.int16()),                 # 1 is best
    (MOVIE_ID, pa.int32()),
    (SCORE, pa.float32()),              # orders the list; comparable within one user and source only
    (PREDICTED_RATING, pa.float32()),   # stars
    (SOURCE, pa.string()),              # "als", "fold_in" for users newer than the model, or "popular" for others
])  # fmt: skip
SIMILAR_MOVIES = pa.schema([
    (MOVIE_ID, pa.int32()),
    (RANK, pa.int16()),
    (SIMILAR_MOVIE_ID, pa.int32()),
    (SCORE, pa.float32()),              # "als": cosine in [-1, 1], or distance negated; "genres": Jaccard in [0, 1]
    (SOURCE, pa.string()),              # "als", or "genres" for movies the model does not know
])  # fmt: skip
CATALOGUE = pa.schema(
    [
        *MOVIES,
        pa.field(IMDB_ID, pa.string()),
        pa.field(TMDB_ID, pa.int32()),
        pa.field(N_RATINGS, pa.int32()),
        pa.field(MEAN_RATING, pa.float32()),  # null where nobody rated it
        pa.field(PREDICTED_RATING, pa.float32()),  # stars an average user would give: mean + movie bias
    ]
)
RELEASE_TABLES: dict[str, pa.Schema] = {
    "recommendations": RECOMMENDATIONS,
    "similar_movies": SIMILAR_MOVIES,
    "movies": CATALOGUE,
}
