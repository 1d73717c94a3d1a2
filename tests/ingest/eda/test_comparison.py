"""What changed between two snapshots, by hand: the later one has more ratings, a new movie and lost one."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recsys.ingest.eda import comparison_figures
from recsys.ingest.eda.comparison import compare
from recsys.ingest.eda.summaries import Summaries


def summaries(movies, stars, **headline):
    """Of `movies` (id to count of ratings) and `stars` (rating to count)."""
    n = sum(stars.values())
    table = {"movie_id": pa.array(movies, pa.int32()), "n_ratings": pa.array(movies.values(), pa.int64())}
    return Summaries(
        headline={"n_ratings": n, "n_movies": len(movies), "last_rating": datetime(2020, 1, 1, tzinfo=UTC), **headline},
        tables={
            "movies": pa.table(table | {"title": [f"Movie {at}" for at in movies]}),
            "rating_distribution": pa.table({"rating": list(stars), "n_ratings": list(stars.values())}),
        },
        period="year",
    )


@pytest.fixture
def compared():
    before = summaries({1: 5, 2: 3, 3: 2}, {3.0: 4, 4.0: 6}, mean_rating=3.6, sparsity=0.5, n_tags=0)
    later = datetime(2020, 1, 31, tzinfo=UTC)
    now = summaries({1: 9, 2: 3, 4: 8}, {2.0: 5, 4.0: 15}, mean_rating=3.5, sparsity=0.51, n_tags=0, last_rating=later)
    # As it comes from a document: without titles, with the integers of JSON.
    before.tables["movies"] = pa.table(before.tables["movies"].drop_columns(["title"]).to_pydict())
    return compare(before, now)


def test_movies_that_came_and_went_are_counted(compared):
    assert (compared.n_new, compared.n_vanished) == (1, 1)
    assert comparison_figures.turnover(compared) == ("Movies new in the catalogue: 1; no longer in it: 1.")


def test_the_movies_that_gained_most_stand_first(compared):
    assert compared.gained.to_pylist() == [
        {"movie_id": 4, "title": "Movie 4", "before": 0, "now": 8, "gained": 8},
        {"movie_id": 1, "title": "Movie 1", "before": 5, "now": 9, "gained": 4},
    ]


def test_both_distributions_stand_on_the_ratings_of_either(compared):
    assert compared.ratings.to_pydict() == {
        "rating": [2.0, 3.0, 4.0],
        "n_before": [0, 4, 6],
        "share_before": [0, 0.4, 0.6],
        "n_now": [5, 0, 15],
        "share_now": [0.25, 0, 0.75],
    }
    panel = comparison_figures.panels(compared)[0]
    assert [trace["y"] for trace in panel.spec["data"]] == [[0, 0.4, 0.6], [0.25, 0, 0.75]]
    assert panel.caption == "The share of 3 stars moved most, by -40.0 points."


def test_headline_numbers_stand_side_by_side_with_their_differences(compared):
    assert comparison_figures.changes(compared) == [
        ("Ratings", "10", "20", "+10 (+100.0%)"),
        ("Movies", "3", "3", "none"),
        ("Sparsity", "50.000%", "51.000%", "+1.000 points"),
        ("Mean rating", "3.600", "3.500", "-0.100"),
        ("Last rating", "01 Jan 2020", "31 Jan 2020", "+30 days"),
    ]


def test_an_equal_snapshot_has_no_gains_to_show(compared):
    same = compare(compared.now, compared.now)
    assert (same.n_new, same.n_vanished, same.gained.num_rows) == (0, 0, 0)
    assert comparison_figures.turnover(same) == "The catalogue holds the same movies as before."
    (panel,) = comparison_figures.panels(same)
    assert panel.caption == "No rating's share moved by as much as a tenth of a point."
