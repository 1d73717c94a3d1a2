"""The report's page and JSON say what was found, what failed first, and run no foreign text."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from recsys.columns import QUARANTINE
from recsys.ingest.validation.outcomes import Outcome, Verdict
from recsys.ingest.validation.quarantine import Examination, Removal
from recsys.ingest.validation.validation_report import CheckedSource, document, failure, headline, page
from recsys.messages import FaultyRow

HOSTILE = "<script>alert(1)</script>"
SOURCE = CheckedSource("i-1", "ml-test", is_invented=False, checked_at=datetime(2026, 1, 2, tzinfo=UTC))


def outcome(rule, status="passed", **more):
    given = {"severity": "critical", "reason": f"why {rule}", "observed": "4 rows", **more}
    return Outcome(table="ratings", expectation="expect_x", column="rating", rule=rule, status=status, **given)


PASSED = outcome("holds")
FAILED = outcome("broken", "failed", n_unexpected=2, samples=("9.0", HOSTILE))
WARNED = outcome("odd", "failed", severity="warning")
ERROR = outcome("raised", "error", exception="no such column\nat line 1")
ROW = outcome("faulty", "failed", severity="row", n_unexpected=1)


def found(*outcomes, second=None, removals=()):
    return Examination(
        Verdict(outcomes), Verdict(second) if second else None, tuple(removals), QUARANTINE.empty_table()
    )


def removal(max_share=0.01, **reasons):
    samples = (FaultyRow(line=12_345, reason="off_scale", fault=f"rating is 9, {HOSTILE}"),)
    return Removal("ratings", 1_000, 1, reasons, samples, max_share)


def test_a_healthy_verdict_is_said_on_top():
    html = page(found(PASSED), SOURCE)
    assert "All 1 expectations hold." in html
    assert "may become a snapshot" in html
    assert "why holds" in html


def test_what_failed_comes_before_what_holds():
    html = page(found(PASSED, WARNED, ERROR, FAILED), SOURCE)
    order = [html.index(f"<strong>{rule}</strong>") for rule in ("broken", "raised", "odd", "holds")]
    assert order == sorted(order)
    assert "1 of 4 expectations failed and 1 of 4 could not be checked." in html
    assert "Nothing was published" in html


def test_an_exception_is_not_called_a_fault_of_the_data():
    html = page(found(PASSED, ERROR), SOURCE)
    assert "The data were not found wrong" in html
    assert "says nothing about the data" in html


def test_a_hostile_sample_is_shown_as_text():
    html = page(found(FAILED), replace(SOURCE, dataset=HOSTILE))
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_page_refers_to_nothing_outside():
    html = page(found(PASSED, FAILED, removals=[removal(off_scale=3)]), SOURCE)
    assert re.findall(r"""src\s*=|href\s*=(?!"#)|url\(|@import|https?://""", html) == []


def test_the_json_form_holds_every_outcome():
    read = json.loads(json.dumps(document(found(PASSED, FAILED, ERROR), SOURCE)))
    assert read["success"] is False
    assert read["n_expectations"] == 3
    assert [o["status"] for o in read["as_parsed"]] == ["passed", "failed", "error"]
    assert read["as_parsed"][1]["samples"] == ["9.0", HOSTILE]
    assert (read["remaining"], read["quarantined"]) == ([], [])


def test_the_json_form_holds_both_checks_and_what_went_between_them():
    mended = found(PASSED, ROW, second=[PASSED, outcome("faulty")], removals=[removal(off_scale=3)])
    read = json.loads(json.dumps(document(mended, SOURCE)))
    assert read["success"] is True
    assert [o["status"] for o in read["remaining"]] == ["passed", "passed"]
    assert read["quarantined"][0]["by_reason"] == {"off_scale": 3, "malformed": 1}
    assert read["quarantined"][0]["share"] == 0.004


def test_quarantined_rows_are_shown_by_table_and_reason_with_samples():
    mended = found(PASSED, ROW, second=[PASSED, outcome("faulty")], removals=[removal(off_scale=3)])
    html = page(mended, SOURCE, data_docs="../data-docs/i-1/index.html")
    assert "All 2 expectations hold; 4 rows are in quarantine." in html
    assert "0.4% of 1,000 rows; at most 1% may be." in html
    assert "line 12,345: rating is 9, &lt;script&gt;" in html
    assert "What failed before the faulty rows were taken out" in html
    assert 'href="../data-docs/i-1/index.html"' in html


def test_too_many_faulty_rows_are_said_on_top_with_what_to_do():
    html = page(
        found(ROW, removals=[removal(off_scale=30, superseded=500)]), replace(SOURCE, advice="Say their scale.")
    )
    assert "ratings: 31 of 1,000 rows are faulty (3.1%: 30 off_scale, 1 malformed), at most 1% may be." in html
    assert "Say their scale. Then run ingest_ratings again." in html
    assert "Too many" in html


def test_ratings_that_a_later_one_replaces_use_up_no_limit():
    mended = found(PASSED, ROW, second=[PASSED, outcome("faulty")], removals=[removal(superseded=500)])
    assert mended.success
    assert "Too many" not in page(mended, SOURCE)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((PASSED, PASSED), "All 2 expectations hold."),
        ((PASSED, WARNED), "1 of 2 expectations hold, 1 warn."),
        ((FAILED, WARNED), "1 of 2 expectations failed."),
    ],
)
def test_the_headline(outcomes, expected):
    assert headline(found(*outcomes)) == expected


def test_a_failure_fits_into_one_line():
    assert failure(FAILED) == f"ratings: broken (found: 4 rows; such as 9.0 | {HOSTILE})"
    assert failure(ERROR) == "ratings: raised (found: no such column)"
