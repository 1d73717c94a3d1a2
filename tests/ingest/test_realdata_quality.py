"""The real ml-latest-small passes validation, and its report shows the official counts."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, IngestConfig
from recsys.ingest import eda_task, publishing, quality, tasks
from recsys.ingest.eda.eda_report import MAX_BYTES
from recsys.ingest.formats.known_releases import RELEASES

FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))

pytestmark = [pytest.mark.realdata, pytest.mark.spark]


def test_ml_latest_small_passes_and_its_report_shows_the_official_counts(spark, settings, monkeypatch):
    archive = FOLDER / "ml-latest-small.zip"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not in {FOLDER}: fetch it from {RELEASES['ml-latest-small'].url}")
    for job in (quality, eda_task):
        monkeypatch.setattr(job, "spark_session", lambda *_, **__: nullcontext(spark))
    config = IngestConfig(dataset=str(archive))
    parsed = tasks.parse(tasks.download(config, "i-1", settings), settings)
    assert quality.validate(parsed, config, settings)["success"] is True
    snapshot = publishing.publish(parsed, settings)
    html = Path(eda_task.explore(snapshot["snapshot_id"], settings)["report"]).read_text()
    assert len(html.encode()) < MAX_BYTES
    # GroupLens' README: 100,836 ratings and 3,683 tags of 9,742 movies by 610 users.
    for count in ("100,836", "3,683", "9,742", "610"):
        assert f"<dd>{count}<small>" in html
    assert "9,724 rated, 18 not" in html
    assert "Forrest Gump (1994) leads with 329 ratings" in html
    assert "invented" not in html
