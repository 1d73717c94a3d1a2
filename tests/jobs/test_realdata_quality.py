"""The real ml-latest-small passes validation, and its report shows the official counts."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, IngestConfig
from recsys.datasets.catalogue import RELEASES
from recsys.eda.report import MAX_BYTES
from recsys.jobs import exploration, ingest, quality, snapshots

FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))

pytestmark = [pytest.mark.realdata, pytest.mark.spark]


def test_ml_latest_small_passes_and_its_report_shows_the_official_counts(spark, settings, monkeypatch):
    archive = FOLDER / "ml-latest-small.zip"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not in {FOLDER}: fetch it from {RELEASES['ml-latest-small'].url}")
    for job in (quality, exploration):
        monkeypatch.setattr(job, "spark_session", lambda *_, **__: nullcontext(spark))
    config = IngestConfig(dataset=str(archive))
    parsed = ingest.parse(ingest.download(config, "i-1", settings), settings)
    assert quality.validate(parsed, config, settings)["success"] is True
    snapshot = snapshots.publish(parsed, settings)
    html = Path(exploration.explore(snapshot["snapshot_id"], settings)["report"]).read_text()
    assert len(html.encode()) < MAX_BYTES
    # GroupLens' README: 100,836 ratings and 3,683 tags of 9,742 movies by 610 users.
    for count in ("100,836", "3,683", "9,742", "610"):
        assert f"<dd>{count}<small>" in html
    assert "9,724 rated, 18 not" in html
    assert "Forrest Gump (1994) leads with 329 ratings" in html
    assert "invented" not in html
