"""Small tables of a snapshot: two movies, two users, three ratings; a title that must be escaped on pages."""

from datetime import UTC, datetime

THEN = datetime(2015, 6, 1, 12, tzinfo=UTC)
TABLES = {
    "ratings": {"user_id": [1, 1, 2], "movie_id": [10, 20, 10], "rating": [4.0, 2.5, 5.0], "timestamp": [THEN] * 3},
    "movies": {
        "movie_id": [10, 20],
        "title": ["Heat (1995)", "<script>alert('title')</script>"],
        "year": [1995, None],
        "genres": [["Action"], []],
    },
    "links": {"movie_id": [10, 20], "imdb_id": ["tt0113277", None], "tmdb_id": [949, None]},
    "tags": {"user_id": [1], "movie_id": [10], "tag": ["heist"], "timestamp": [THEN]},
    "details": {"movie_id": [10], "language": ["en"], "keywords": [["heist"]], "directors": [[]], "actors": [[]]},
}
