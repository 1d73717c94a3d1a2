"""Summaries of ten ratings, every number computed by hand."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.ingest.eda.movie_summaries import NO_GENRE, OTHER, UNKNOWN, groups
from recsys.ingest.eda.summaries import Summaries, count_histogram, long_tail, summarise

# user 1 rates movies 1, 2, 3; user 2 rates 1, 2; user 3 rates 1; user 4 rates 1, 2, 3, 4. Movie 5: nobody.
USERS = [1, 1, 1, 2, 2, 3, 4, 4, 4, 4]
MOVIES = [1, 2, 3, 1, 2, 1, 1, 2, 3, 4]
STARS = [5.0, 3.0, 1.0, 4.0, 2.0, 5.0, 4.0, 3.0, 2.0, 5.0]  # sum 34
MONTHS = [1, 1, 1, 2, 2, 4, 4, 4, 4, 4]  # of 2020; nothing in March


def when(month):
    return datetime(2020, month, 15, tzinfo=UTC)


def ratings(months=MONTHS):
    times = [when(month) if isinstance(month, int) else month for month in months]
    return pa.table({"user_id": USERS, "movie_id": MOVIES, "rating": STARS, "timestamp": times}, schema=c.RATINGS)


CATALOGUE = pa.table(
    {
        "movie_id": [1, 2, 3, 4, 5],
        "title": ["One (1990)", "Two (1995)", "Three (2001)", "Four", "Five (2009)"],
        "year": [1990, 1995, 2001, None, 2009],
        "genres": [["Drama"], ["Drama", "Comedy"], ["Comedy"], [], ["Western"]],
    },
    schema=c.MOVIES,
)
TAGS = pa.table(
    {"user_id": [1, 2, 1], "movie_id": [1, 2, 1], "tag": ["Noir", " noir", "slow"], "timestamp": [when(1)] * 3},
    schema=c.TAGS,
)
DETAILS = pa.table(
    {
        "movie_id": [1, 2, 3, 5],
        "language": ["en", "fr", "en", None],
        "keywords": [["heist", "rain"], ["rain"], [], []],
        "directors": [[]] * 4,
        "actors": [[]] * 4,
    },
    schema=c.DETAILS,
)


@pytest.fixture(scope="module")
def summaries(spark):
    return summarise(*(spark.createDataFrame(table) for table in (ratings(), CATALOGUE, TAGS, DETAILS)))


pytestmark = pytest.mark.spark


def test_headline(summaries):
    assert summaries.headline == {
        "n_ratings": 10,
        "n_users": 4,
        "n_movies": 5,
        "n_movies_rated": 4,
        "n_movies_unrated": 1,
        "n_tags": 3,
        "n_languages": 2,
        "n_keywords": 2,
        "sparsity": 1 - 10 / (4 * 5),
        "mean_rating": 3.4,
        "median_ratings_per_user": 2.5,  # of 1, 2, 3, 4
        "median_ratings_per_movie": 2.5,  # of 4, 3, 2, 1
        "mean_ratings_per_user": 10 / 4,
        "mean_ratings_per_movie": 10 / 4,
        "max_ratings_per_user": 4,
        "first_rating": when(1),
        "last_rating": when(4),
        "shrinkage": 2.0,  # 10 ratings / 4 rated movies = 2.5, rounded half to even
    }


def test_rating_distribution(summaries):
    assert summaries.tables["rating_distribution"].to_pydict() == {
        "rating": [1, 2, 3, 4, 5],
        "n_ratings": [1, 2, 2, 2, 3],
        "share": [0.1, 0.2, 0.2, 0.2, 0.3],
    }


def test_counts_per_user_and_per_movie(summaries):
    per_user, per_movie = summaries.tables["ratings_per_user"], summaries.tables["ratings_per_movie"]
    assert per_user.select(["label", "n", "share"]).to_pydict() == {
        "label": ["1", "2–4"],
        "n": [1, 3],
        "share": [0.25, 0.75],
    }
    assert per_movie.select(["label", "n"]).to_pydict() == {"label": ["0", "1", "2–4"], "n": [1, 1, 3]}


def test_averages_per_user_and_per_movie(summaries):
    table = summaries.tables["mean_ratings"].to_pydict()
    # users: (5+3+1)/3 = 3, (4+2)/2 = 3, 5, (4+3+2+5)/4 = 3.5
    users = {mean: n for mean, n in zip(table["mean_rating"], table["n_users"], strict=True) if n}
    assert users == {3.0: 2, 5.0: 1, 3.5: 1}
    # movies: 18/4 = 4.5, 8/3 = 2.67 -> 2.75, 3/2 = 1.5, 5; the unrated one is nowhere
    movies = {mean: n for mean, n in zip(table["mean_rating"], table["n_movies"], strict=True) if n}
    assert movies == {4.5: 1, 2.75: 1, 1.5: 1, 5.0: 1}
    assert sum(table["share_of_users"]) == pytest.approx(1)
    assert sum(table["share_of_movies"]) == pytest.approx(1)


def test_most_rated(summaries):
    rows = summaries.tables["most_rated"].to_pylist()
    assert [(row["title"], row["n_ratings"], row["mean_rating"]) for row in rows] == [
        ("One (1990)", 4, 4.5),
        ("Two (1995)", 3, pytest.approx(8 / 3)),
        ("Three (2001)", 2, 1.5),
        ("Four", 1, 5.0),
    ]


def test_best_rated_pulls_a_single_five_towards_the_mean(summaries):
    rows = summaries.tables["best_rated"].to_pylist()
    assert [(row["movie_id"], row["shrunken_mean"]) for row in rows] == [
        (1, pytest.approx((18 + 2 * 3.4) / 6)),  # 4.13
        (4, pytest.approx((5 + 2 * 3.4) / 3)),  # 3.93, though its plain mean is 5
        (2, pytest.approx((8 + 2 * 3.4) / 5)),  # 2.96
        (3, pytest.approx((3 + 2 * 3.4) / 4)),  # 2.45
    ]


def test_genres(summaries):
    assert summaries.tables["genres"].to_pylist() == [
        {"name": "Drama", "n_movies": 2, "n_ratings": 7, "mean_rating": pytest.approx(26 / 7)},
        {"name": "Comedy", "n_movies": 2, "n_ratings": 5, "mean_rating": pytest.approx(11 / 5)},
        {"name": NO_GENRE, "n_movies": 1, "n_ratings": 1, "mean_rating": 5.0},
        {"name": "Western", "n_movies": 1, "n_ratings": 0, "mean_rating": None},
    ]


def test_decades(summaries):
    assert summaries.tables["decades"].to_pylist() == [
        {"name": "1990s", "n_movies": 2, "n_ratings": 7, "mean_rating": pytest.approx(26 / 7)},
        {"name": "2000s", "n_movies": 2, "n_ratings": 2, "mean_rating": 1.5},
    ]


def test_original_languages_with_those_that_are_unknown(summaries):
    # Movie 4 has no details, movie 5 no language.
    assert summaries.tables["languages"].to_pylist() == [
        {"name": "en", "n_movies": 2, "n_ratings": 6, "mean_rating": pytest.approx((18 + 3) / 6)},
        {"name": "fr", "n_movies": 1, "n_ratings": 3, "mean_rating": pytest.approx(8 / 3)},
        {"name": UNKNOWN, "n_movies": 2, "n_ratings": 1, "mean_rating": 5.0},
    ]


def test_keywords_stand_by_the_movies_they_are_on(summaries):
    assert summaries.tables["keywords"].to_pylist() == [
        {"name": "rain", "n_movies": 2, "n_ratings": 7, "mean_rating": pytest.approx(26 / 7)},
        {"name": "heist", "n_movies": 1, "n_ratings": 4, "mean_rating": 4.5},
    ]


def test_the_languages_beyond_the_most_rated_ones_are_added_up():
    per_movie = pa.table(
        {
            "year": pa.array([None] * 4, pa.int16()),
            "genres": pa.array([[]] * 4, pa.list_(pa.string())),
            "language": ["en", "fr", "de", "ja"],
            "keywords": pa.array([None] * 4, pa.list_(pa.string())),
            "n_ratings": [9, 4, 1, 0],
            "total": [36.0, 12.0, 2.0, 0.0],
        }
    )
    assert groups(per_movie, 1)["languages"].to_pylist() == [
        {"name": "en", "n_movies": 1, "n_ratings": 9, "mean_rating": 4.0},
        {"name": OTHER, "n_movies": 3, "n_ratings": 5, "mean_rating": pytest.approx(14 / 5)},
    ]


def test_every_movie_is_kept_with_its_count_for_the_next_comparison(summaries):
    assert summaries.tables["movies"].to_pydict() == {
        "movie_id": [1, 2, 3, 4, 5],
        "title": CATALOGUE["title"].to_pylist(),
        "n_ratings": [4, 3, 2, 1, 0],
    }


def test_summaries_survive_being_stored_as_json_but_for_the_titles(summaries):
    stored = Summaries.from_document(json.loads(json.dumps(summaries.document(), allow_nan=False)))
    assert stored.headline == summaries.headline
    assert stored.period == summaries.period
    assert stored.tables["movies"].column_names == ["movie_id", "n_ratings"]
    others = [name for name in summaries.tables if name != "movies"]
    assert {name: stored.tables[name].to_pydict() for name in others} == {
        name: summaries.tables[name].to_pydict() for name in others
    }


def test_a_short_span_is_shown_by_month_with_the_empty_month(summaries):
    assert summaries.period == "month"
    assert summaries.tables["over_time"].to_pydict() == {
        "period": ["2020-01", "2020-02", "2020-03", "2020-04"],
        "n_ratings": [3, 2, 0, 5],
        "mean_rating": [3.0, 3.0, None, pytest.approx(19 / 5)],
    }


def test_a_long_span_is_shown_by_year_and_an_empty_tag_table_is_fine(spark):
    months = [datetime(2010, 5, 1, tzinfo=UTC), *MONTHS[1:]]
    tables = (ratings(months), CATALOGUE, TAGS.slice(0, 0), DETAILS.slice(0, 0))
    summaries = summarise(*(spark.createDataFrame(table) for table in tables))
    assert summaries.period == "year"
    over_time = summaries.tables["over_time"].to_pydict()
    assert over_time["period"] == [str(year) for year in range(2010, 2021)]
    assert over_time["n_ratings"] == [1, *[0] * 9, 9]
    assert summaries.headline["n_tags"] == 0
    assert {name: summaries.tables[name].num_rows for name in ("tags", "languages", "keywords")} == {
        "tags": 0, "languages": 0, "keywords": 0,
    }  # fmt: skip
    assert (summaries.headline["n_languages"], summaries.headline["n_keywords"]) == (0, 0)


def test_the_long_tail_of_five_movies(summaries):
    table = summaries.tables["long_tail"]
    assert table.num_rows == 101
    held = table["share_of_ratings"].to_numpy()
    # 4, 3, 2, 1, 0 ratings: after 20, 40, 60, 80 and 100 % of the movies
    np.testing.assert_allclose(held[[0, 10, 20, 40, 60, 80, 100]], [0, 0.2, 0.4, 0.7, 0.9, 1, 1])


def test_tags_are_counted_without_regard_to_case(summaries):
    assert summaries.tables["tags"].to_pylist() == [
        {"tag": "noir", "n_uses": 2, "n_movies": 2, "n_users": 2},
        {"tag": "slow", "n_uses": 1, "n_movies": 1, "n_users": 1},
    ]


@pytest.mark.parametrize(
    ("count", "label"),
    [(1, "1"), (9, "5–9"), (10, "10–19"), (49, "20–49"), (50, "50–99"), (1000, "1,000–1,999"), (7654, "5,000–9,999")],
)
def test_every_count_falls_into_its_bin(count, label):
    assert count_histogram(np.array([count]), np.array([3])).to_pylist()[-1] | {"share": 1} == {
        "label": label,
        "low": int(label.split("–")[0].replace(",", "")),
        "high": int(label.split("–")[-1].replace(",", "")),
        "n": 3,
        "share": 1,
    }


def test_when_all_movies_are_rated_alike_there_is_no_tail():
    held = long_tail(np.array([3]), np.array([200]))["share_of_ratings"].to_numpy()
    np.testing.assert_allclose(held, np.arange(101) / 100)
