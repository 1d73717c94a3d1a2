"""The real ml-latest-small passes validation, and its report shows the official counts."""

import os
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, IngestConfig
from recsys.ingest import tasks
from recsys.ingest.eda.eda_report import MAX_BYTES
from recsys.ingest.formats.known_releases import RELEASES

FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))

pytestmark = [pytest.mark.realdata, pytest.mark.spark]


def test_ml_latest_small_passes_and_its_report_shows_the_official_counts(workspace):
    archive = FOLDER / "ml-latest-small.zip"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not in {FOLDER}: fetch it from {RELEASES['ml-latest-small'].url}")
    config = IngestConfig(dataset=str(archive))
    downloaded = tasks.download(workspace, config, "i-1")
    tasks.validate(workspace, tasks.parse(workspace, downloaded), config)
    snapshot = tasks.publish(workspace, downloaded)
    html = Path(tasks.explore(workspace, snapshot.snapshot_id).report_uri).read_text()
    assert len(html.encode()) < MAX_BYTES
    # GroupLens' README: 100,836 ratings and 3,683 tags of 9,742 movies by 610 users.
    for count in ("100,836", "3,683", "9,742", "610"):
        assert f"<dd>{count}<small>" in html
    assert "9,724 with ratings, 18 without" in html
    assert "Forrest Gump (1994) leads with 329 ratings" in html
    assert "invented" not in html
