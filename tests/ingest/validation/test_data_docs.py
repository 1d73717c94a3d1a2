"""Data Docs are Great Expectations' real pages, whole, harmless and without a network."""

import re

import pytest

from recsys.ingest.validation import data_docs
from recsys.ingest.validation.limits import Baseline, Limits
from recsys.ingest.validation.quarantine import examine
from recsys.messages import FaultyRow
from tests.ingest.validation.healthy import NOW, tables

pytestmark = pytest.mark.spark

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def site(spark, tmp_path_factory):
    """Pages about a source with a hostile genre, a faulty rating and drift."""
    folder = tmp_path_factory.mktemp("site")
    context = data_docs.new_context(folder, f"tiny {HOSTILE}")
    changes = {
        ("ratings", "rating"): [0.5, 5.0, 3.0, 7.5],
        ("movies", "genres"): [["Action"], ["1"], [HOSTILE, " "]],
        ("links", "imdb_id"): [HOSTILE, "tt0078748", None],
    }
    limits = Limits.at(NOW, baseline=Baseline("s-1", {0.5: 900, 5.0: 3}))
    examine(tables(spark, changes), limits, max_quarantined=1, context=context)
    return folder, data_docs.build(context, folder)


def pages(site):
    folder, names = site
    return {name.as_posix(): (folder / name).read_text() for name in names}


def test_there_is_a_page_for_every_suite_and_every_result_of_both_checks(site):
    names = list(pages(site))
    assert names[0] == "index.html"
    runs = [name.split("/")[1] for name in names if name.startswith("validations/")]
    suites = [name.removeprefix("expectations/").removesuffix(".html") for name in names if "expectations/" in name]
    assert sorted(runs) == sorted(suites)
    assert "ratings-as-parsed" in runs
    assert "ratings-without-quarantined" in runs


def test_pages_load_nothing_and_run_nothing(site):
    for name, text in pages(site).items():
        loaded = re.findall(r"""<script|<link|<img|<iframe|@import|url\(|\son\w+=|https?://""", text)
        assert loaded == [], name
        assert "default-src 'none'" in text


def test_hostile_values_are_shown_as_text(site):
    shown = "\n".join(pages(site).values())
    assert HOSTILE not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown


def test_every_link_leads_to_a_page(site):
    folder, names = site
    for name in names:
        for target in re.findall(r'href="([^"#][^"#]*)"', (folder / name).read_text()):
            assert ((folder / name).parent / target).resolve().is_file(), (name, target)


def test_a_suite_shows_its_reasons_and_a_result_its_samples_and_what_was_not_evaluated(site):
    assert (
        "One NaN or infinity turns every factor of the model into NaN"
        in pages(site)["expectations/ratings-as-parsed.html"]
    )
    page = next(text for name, text in pages(site).items() if name.startswith("validations/ratings-as-parsed/"))
    assert "rating is one of 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5 stars" in page
    assert "7.5" in page
    assert "not checked: rating holds faulty values" in page


def test_the_divergence_is_shown_in_numbers(site):
    text = "".join(text for name, text in pages(site).items() if "validations/ratings-without-quarantined" in name)
    assert "the stars are spread as in s-1" in text
    assert "KL Divergence: ≈2.7218" in text
    assert "<td>0.5000</td>" in text  # half of the remaining ratings are half a star


def test_rows_that_cannot_be_read_are_shown_as_text_and_rendered_without_a_fault(tmp_path, spark, caplog):
    context = data_docs.new_context(tmp_path, "tiny")
    first = [FaultyRow(file="r.csv", line=3, reason="malformed", fault="rating is 'x'", content=f"1,{HOSTILE}")]
    examine(
        tables(spark), Limits.at(NOW), max_quarantined=1, n_malformed={"ratings": 1}, malformed={"ratings": first},
        context=context,
    )  # fmt: skip
    data_docs.build(context, tmp_path)
    shown = "".join(path.read_text() for path in tmp_path.rglob("*.html"))
    assert "every row of the file can be read" in shown
    assert "r.csv line 3: rating is &#39;x&#39;; the row is 1,&lt;script&gt;" in shown.replace("&#x27;", "&#39;")
    assert "1 unexpected values found. 20% of 5 total rows." in re.sub(r"<[^>]*>|≈|\s+", " ", shown).replace("  ", " ")
    assert not [record for record in caplog.records if record.name.startswith("great_expectations")]
