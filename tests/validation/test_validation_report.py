"""The report's page and JSON say what was found, what failed first, and run no foreign text."""

import json
import re
from datetime import UTC, datetime

import pytest

from recsys.validation.check import Outcome, Verdict
from recsys.validation.report import document, failure, headline, page

HOSTILE = "<script>alert(1)</script>"
ABOUT = {"ingest_id": "i-1", "dataset": "ml-test", "is_invented": False, "checked_at": datetime(2026, 1, 2, tzinfo=UTC)}


def outcome(rule, status="passed", **more):
    given = {"severity": "critical", "reason": f"why {rule}", "observed": "4 rows", **more}
    return Outcome(table="ratings", expectation="expect_x", column="rating", rule=rule, status=status, **given)


PASSED = outcome("holds")
FAILED = outcome("broken", "failed", n_unexpected=2, samples=("9.0", HOSTILE))
WARNED = outcome("odd", "failed", severity="warning")
ERROR = outcome("raised", "error", exception="no such column\nat line 1")


def test_a_healthy_verdict_is_said_on_top():
    html = page(Verdict((PASSED,)), **ABOUT)
    assert "All 1 expectations hold." in html
    assert "may become a snapshot" in html
    assert "why holds" in html


def test_what_failed_comes_before_what_holds():
    html = page(Verdict((PASSED, WARNED, ERROR, FAILED)), **ABOUT)
    order = [html.index(f"<strong>{rule}</strong>") for rule in ("broken", "raised", "odd", "holds")]
    assert order == sorted(order)
    assert "1 of 4 expectations failed and 1 of 4 could not be checked." in html
    assert "Nothing was published" in html


def test_an_exception_is_not_called_a_fault_of_the_data():
    html = page(Verdict((PASSED, ERROR)), **ABOUT)
    assert "The data were not found wrong" in html
    assert "says nothing about the data" in html


def test_a_hostile_sample_is_shown_as_text():
    html = page(Verdict((FAILED,)), **{**ABOUT, "dataset": HOSTILE})
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_page_refers_to_nothing_outside():
    html = page(Verdict((PASSED, FAILED)), **ABOUT)
    assert re.findall(r"""(?:src|href)\s*=|url\(|@import|https?://""", html) == []


def test_the_json_form_holds_every_outcome():
    verdict = Verdict((PASSED, FAILED, ERROR))
    read = json.loads(json.dumps(document(verdict, **ABOUT)))
    assert read["success"] is False
    assert read["n_expectations"] == 3
    assert [o["status"] for o in read["outcomes"]] == ["passed", "failed", "error"]
    assert read["outcomes"][1]["samples"] == ["9.0", HOSTILE]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((PASSED, PASSED), "All 2 expectations hold."),
        ((PASSED, WARNED), "1 of 2 expectations hold, 1 warn."),
        ((FAILED, WARNED), "1 of 2 expectations failed."),
    ],
)
def test_the_headline(outcomes, expected):
    assert headline(Verdict(outcomes)) == expected


def test_a_failure_fits_into_one_line():
    assert failure(FAILED) == f"ratings: broken (found: 4 rows; such as 9.0 | {HOSTILE})"
    assert failure(ERROR) == "ratings: raised (found: no such column)"
