"""The exploratory report follows the scale of the ratings, and says of counts that they are none."""

import json
import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.ingest.eda.comparison import compare
from recsys.ingest.eda.eda_report import page
from recsys.ingest.eda.rating_figures import panels
from recsys.ingest.eda.scale import COUNTS, Scale
from recsys.ingest.eda.summaries import Summaries, summarise
from tests.storage.manifests import manifest

pytestmark = pytest.mark.spark
WHEN = datetime(2020, 1, 15, tzinfo=UTC)
CATALOGUE = pa.table(
    {"movie_id": [1, 2], "title": ["One", "Two"], "year": [1990, 1995], "genres": [["Drama"], ["Drama"]]},
    schema=c.MOVIES,
)


@pytest.fixture
def summaries(spark):
    def of(scale, ratings):
        """Of two users: the first rates the first movie so, the second both movies."""
        rows = {"user_id": [1, 2, 2], "movie_id": [1, 1, 2], "rating": ratings, "timestamp": [WHEN] * 3}
        tables = pa.table(rows, schema=c.RATINGS), CATALOGUE, c.TAGS.empty_table(), c.DETAILS.empty_table()
        return summarise(*(spark.createDataFrame(table) for table in tables), scale=scale)

    return of


def by_name(summaries):
    return {panel.name: panel for panel in panels(summaries)}


@pytest.mark.parametrize(
    ("scale", "ratings", "bars", "sentence", "axis", "means"),
    [
        (Scale(0, 1, 1), [1, 0, 1], ["0", "1"], "1 is the most common rating (67%); 67%", [-0.02, 1.02], [1, 0.5]),
        (Scale(1, 10, 1), [9, 2, 9], ["2", "9"], "9 is the most common rating (67%); 67%", [0.8, 10.2], [9, 5.5]),
        (
            Scale(-10, 10, 0.01),
            [-9.81, 3.04, 3.02],
            ["-10", "3"],
            "About 3 is the most common rating (67%); no rating reaches 5 points",
            [-10.4, 10.4],
            [-10, 3],
        ),
        (
            Scale(0, 100, 1),
            [87, 88, 20],
            ["20", "85", "90"],
            "About 20 is the most common rating (33%); 67% of all ratings are 85 points or more",
            [-2, 102],
            [85, 55],
        ),
    ],
)  # fmt: skip
def test_ratings_are_drawn_on_their_own_scale(summaries, scale, ratings, bars, sentence, axis, means):
    found = by_name(summaries(scale, ratings))
    assert found["rating_distribution"].spec["data"][0]["x"] == bars
    assert sum(found["rating_distribution"].spec["data"][0]["y"]) == 3
    assert found["rating_distribution"].caption.startswith(sentence)
    drawn = found["mean_ratings"].spec
    assert drawn["layout"]["xaxis"]["range"] == pytest.approx(axis)
    users = {x: n for x, n in zip(drawn["data"][0]["x"], drawn["data"][0]["customdata"], strict=True) if n}
    assert sorted(users) == pytest.approx(sorted(means))
    assert sum(users.values()) == 2  # nobody falls off the axis
    assert "stars" not in json.dumps({name: [panel.caption, panel.spec] for name, panel in found.items()})


def test_counts_have_no_histogram_of_stars_and_no_best_rated_movies(summaries):
    counted = summaries(COUNTS, [1, 1, 700])
    found = by_name(counted)
    assert {"rating_distribution", "mean_ratings", "best_rated"}.isdisjoint(found)
    assert found["counts"].rows[0] == ("1", "2", "66.7%")
    assert found["counts"].rows[-1][:2] == ("500–999", "1")
    assert "67% of the 3 pairs occur once" in found["counts"].caption
    assert found["most_rated"].caption == "One leads with 2 pairs: 100% of all users had it."
    assert counted.headline["mean_count"] == 234
    assert "mean_rating" not in counted.headline
    summed = {"n_rows": 1_702, "n_pairs": 3, "lowest": 1, "highest": 700}
    html = page(counted, manifest(summed=summed)).partition('id="library"')[0]
    assert not re.search(r"\bstars?\b", html)
    assert "1,702 rows to 3 pairs of user and movie" in html
    again = Summaries.from_document(json.loads(json.dumps(counted.document())))
    assert again.scale == COUNTS


def test_snapshots_on_two_scales_are_not_compared_by_their_ratings(summaries):
    stars, counts = summaries(Scale(1, 5, 1), [1, 4, 5]), summaries(COUNTS, [1, 1, 700])
    compared = compare(stars, counts)
    assert compared.ratings.num_rows == 0
    html = page(counts, manifest(), compared)
    assert 'id="ratings_before_and_now"' not in html
    assert "Mean rating" not in html
    assert compare(counts, counts).ratings.num_rows == 0
    assert compare(stars, stars).ratings.num_rows == 3
