"""Which reports there are of a snapshot and of an ingest."""

import pytest

from recsys.errors import NotFoundError
from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.webapp import queries, reports
from tests.webapp import published


@pytest.fixture
def store(tmp_path):
    store = FileStore(tmp_path / "store")
    published.publish(store)
    return store


def test_only_reports_that_are_there_are_listed(store):
    made_of = queries.published(store).lineage
    assert reports.current(store, made_of) == {"Exploratory report": layout.eda_report("snap")}
    store.put(layout.validation_report("in-1"), b"<html></html>")
    assert reports.current(store, made_of)["Validation report"] == layout.validation_report("in-1")


@pytest.mark.parametrize("path", ["../tables/current.json", "a/../../x.html", "/x.html", "x.html/", "x", "x.sh"])
def test_what_is_no_report_is_refused(path):
    with pytest.raises(NotFoundError, match="is no report"):
        reports.key_of(path)


def test_only_the_page_with_figures_may_run_scripts():
    assert "allow-scripts" in reports.policy("reports/eda/a.html")
    for key in ("reports/eda/a.json", "reports/validation/a.html", "reports/data-docs/a/eda/b.html"):
        assert reports.policy(key).startswith("sandbox; ")
    assert "allow-same-origin" not in reports.policy("reports/eda/a.html")
