"""The page holds every figure with its numbers, stays under 3 MB, loads nothing and runs no foreign text."""

import base64
import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.ingest.eda.eda_report import MAX_BYTES, metrics, page
from recsys.ingest.eda.rating_figures import panels
from recsys.ingest.eda.summaries import Summaries, count_histogram, long_tail
from tests.storage.manifests import manifest

HOSTILE = "</script><script>alert('title')</script> & Sons (1999)"


@pytest.fixture
def summaries():
    """Six ratings: movie 1 has 3 of them, the hostile one 2, movie 3 one, movie 4 none."""
    top = {
        "movie_id": [1, 2, 3],
        "title": ["One (1990)", HOSTILE, "Three"],
        "n_ratings": [3, 2, 1],
        "mean_rating": [4.0, 3.5, 2.0],
        "shrunken_mean": [3.9, 3.5, 2.75],
    }
    counts = {"name": ["Drama", "Comedy"], "n_movies": [3, 1], "n_ratings": [5, 1], "mean_rating": [4.0, 2.0]}
    per_movie = pa.array([3, 2, 1, 0]).to_numpy(), pa.array([1, 1, 1, 1]).to_numpy()
    means = {"mean_rating": [2.0, 3.5, 4.0], "n_users": [0, 1, 1], "n_movies": [1, 1, 1]}
    return Summaries(
        headline={
            "n_ratings": 6,
            "n_users": 2,
            "n_movies": 4,
            "n_movies_rated": 3,
            "n_movies_unrated": 1,
            "n_tags": 2,
            "n_languages": 2,
            "n_keywords": 2,
            "sparsity": 0.25,
            "mean_rating": 3.5,
            "median_ratings_per_user": 3.0,
            "median_ratings_per_movie": 2.0,
            "mean_ratings_per_user": 3.0,
            "mean_ratings_per_movie": 2.0,
            "max_ratings_per_user": 4,
            "first_rating": datetime(2020, 1, 1, tzinfo=UTC),
            "last_rating": datetime(2020, 3, 1, tzinfo=UTC),
            "shrinkage": 2.0,
        },
        tables={
            "rating_distribution": pa.table(
                {"rating": [2.0, 3.0, 4.0], "n_ratings": [1, 2, 3], "share": [1 / 6, 1 / 3, 1 / 2]}
            ),
            "ratings_per_user": count_histogram(pa.array([2, 4]).to_numpy(), pa.array([1, 1]).to_numpy()),
            "ratings_per_movie": count_histogram(*per_movie),
            "mean_ratings": pa.table({**means, "share_of_users": [0, 0.5, 0.5], "share_of_movies": [1 / 3] * 3}),
            "most_rated": pa.table(top),
            "best_rated": pa.table(top),
            "genres": pa.table(counts),
            "decades": pa.table({**counts, "name": ["1990s", "2000s"]}),
            "languages": pa.table({**counts, "name": ["en", "fr"]}),
            "keywords": pa.table({**counts, "name": [HOSTILE, "rain"]}),
            "over_time": pa.table(
                {"period": ["2020-01", "2020-02", "2020-03"], "n_ratings": [4, 0, 2], "mean_rating": [3.0, None, 4.5]}
            ),
            "long_tail": long_tail(*per_movie),
            "movies": pa.table(
                {
                    "movie_id": pa.array([1, 2, 3, 4], pa.int32()),
                    "title": ["One (1990)", HOSTILE, "3", "4"],
                    "n_ratings": [3, 2, 1, 0],
                }
            ),
            "tags": pa.table({"tag": [HOSTILE, "b"], "n_uses": [1, 1], "n_movies": [1, 1], "n_users": [1, 1]}),
        },
        period="month",
    )


@pytest.fixture
def html(summaries):
    return page(summaries, manifest(is_invented=False, lineage={"source": "a <b> c"}))


def by_name(summaries):
    return {panel.name: panel for panel in panels(summaries)}


def test_figures_hold_the_numbers_of_the_summaries(summaries):
    figures = {name: panel.spec["data"] for name, panel in by_name(summaries).items()}
    assert figures["rating_distribution"][0]["x"] == ["2", "3", "4"]
    assert figures["rating_distribution"][0]["y"] == [1, 2, 3]
    assert figures["ratings_per_movie"][0]["x"] == ["0", "1", "2–4"]
    assert figures["ratings_per_movie"][0]["y"] == [1, 1, 2]
    assert [trace["y"] for trace in figures["mean_ratings"]] == [[0, 0.5, 0.5], [1 / 3] * 3]
    assert figures["most_rated"][0]["x"] == [3, 2, 1]
    assert {trace["name"]: trace["x"] for trace in figures["best_rated"]} == {
        "plain mean": [4.0, 3.5, 2.0],
        "shrunken mean": [3.9, 3.5, 2.75],
    }
    assert [trace["x"] for trace in figures["genres"]] == [[5, 1], [4.0, 2.0]]
    assert [trace["y"] for trace in figures["over_time"]] == [[4, 0, 2], [3.0, None, 4.5]]
    assert figures["long_tail"][0]["y"][25] == pytest.approx(3 / 6)  # a quarter of four movies is the first


def test_captions_say_the_key_number(summaries):
    captions = {name: panel.caption for name, panel in by_name(summaries).items()}
    assert captions["rating_distribution"].startswith(
        "4 stars is the most common rating (50%); 50% of all ratings are 4"
    )
    assert captions["ratings_per_user"].startswith("Half of the 2 users gave 3 ratings or fewer")
    assert "the average is 2.0; 1 movie without any" in captions["ratings_per_movie"]
    assert captions["mean_ratings"].startswith("Most users average about 3.5 stars; 33% of the rated movies")
    assert captions["most_rated"] == "One (1990) leads with 3 ratings: 150% of all users rated it."
    assert captions["over_time"] == "The busiest of 3 months was 2020-01 with 4 ratings; 1 had none."
    # The first tenth of 4 movies is 0.4 movies of 3 ratings: 1.2 of 6.
    assert captions["long_tail"].startswith(
        "The most rated tenth of the movies holds 20% of all ratings; 25% of the movies"
    )


def test_every_figure_has_its_data_as_a_table(summaries, html):
    for panel in panels(summaries):
        assert f'<figure id="{panel.name}"' in html
        assert panel.rows
        assert all(len(row) == len(panel.header) for row in panel.rows)
    assert html.count("<details open>") == len(panels(summaries)) == 13


def test_languages_and_keywords_are_captioned(summaries):
    captions = {name: panel.caption for name, panel in by_name(summaries).items()}
    assert captions["languages"].startswith("Movies made in “en” draw 83% of all ratings; there are 2 languages")
    assert captions["keywords"].endswith("of 2 keywords: 3 movies, 5 ratings, 4.00 stars on average.")


MANIFEST = {
    "created_at": "2026-01-05T04:00:00+00:00",
    "quarantined": {"malformed": 1, "unknown_movie": 20},
    "lineage": {
        "source": "https://example.org/tiny.zip",
        "sha256": "ab" * 32,
        "licence": "free",
        "parser_version": "3",
        "base_snapshot_id": "tiny-0",
        "files": [
            {"file": "tiny/ratings.csv", "table": "ratings", "n_in": 1027, "n_out": 1006, "n_quarantined": 21},
            {"file": "tiny/<movies>.csv", "table": "movies", "n_in": 4, "n_out": 4, "n_quarantined": 0},
        ],
    },
}


def test_the_page_says_where_the_data_come_from_and_what_was_kept_out(summaries):
    html = page(summaries, manifest(**MANIFEST))
    section = html[html.index('<section id="lineage">') :]
    text = " ".join(re.sub("<[^>]+>", " ", section).split())
    for words in ("https://example.org/tiny.zip", "ab" * 32, "Licence free", "Parser version 3", "tiny-0"):
        assert words in text
    assert "tiny/ratings.csv ratings 1,027 21 1,006" in text
    assert "All 1,031 21 1,010" in text
    assert "20 unknown movie, 1 malformed" in text
    assert "&lt;movies&gt;" in section


def test_a_dataset_without_tags_or_years_has_no_empty_figures(summaries):
    missing = ("tags", "decades", "languages", "keywords")
    summaries.tables.update({name: summaries.tables[name].slice(0, 0) for name in missing})
    assert set(missing).isdisjoint(by_name(summaries))
    assert 'id="tags"' not in page(summaries, manifest())


def test_the_page_is_under_three_megabytes(html):
    assert len(html.encode()) < MAX_BYTES == 3_000_000


def test_the_library_inside_is_the_one_of_the_package(html):
    import plotly

    packed = re.search(r'<script type="text/plain" id="library">([A-Za-z0-9+/=]+)</script>', html).group(1)
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    assert gzip.decompress(base64.b64decode(packed)) == source.read_bytes()


def test_the_page_refers_to_nothing_outside(html):
    # Anchors within the page are the only references; the compressed library fetches nothing for these figures, which
    # is shown by the same page working in a browser that is off line.
    assert {link[0] for link in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", html)} == {"#"}
    assert re.findall(r"""url\(|@import|https?://|<link|<iframe|<img""", html) == []


def test_a_hostile_title_is_shown_as_text(html):
    assert html.count("<script") == html.count("</script>") == 3  # figures, library, the page's own
    assert "alert(&#39;title&#39;)" in html
    assert "a &lt;b&gt; c" in html
    specs = re.search(r'id="figures">(.*?)</script>', html, re.DOTALL).group(1)
    most_rated = json.loads(specs)["most_rated"]
    assert most_rated["layout"]["meta"]["labels"][1] == HOSTILE  # escaped by the page when it is drawn
    assert "&lt;script&gt;" in most_rated["data"][0]["customdata"][1]


@pytest.mark.parametrize("is_invented", [True, False])
def test_the_title_says_dataset_snapshot_and_whether_it_is_invented(summaries, is_invented):
    html = page(summaries, manifest(is_invented=is_invented))
    title = re.search("<title>(.*?)</title>", html).group(1)
    assert "tiny" in title
    assert "tiny-1" in title
    assert ("invented" in title) == is_invented
    assert ("These movies are invented." in html) == is_invented


def test_metrics_are_the_numbers_of_the_headline(summaries):
    assert metrics(summaries)["n_ratings"] == 6.0
    assert "first_rating" not in metrics(summaries)
