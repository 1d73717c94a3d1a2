"""The benchmark of the whole pipeline, at a size that shows it works."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks.pipeline import STEPS


@pytest.mark.slow
def test_every_step_of_the_pipeline_is_weighed_at_every_size():
    import typer

    from benchmarks import pipeline

    app = typer.Typer()
    app.command()(pipeline.main)
    result = CliRunner().invoke(app, ["--ratings", "5000,20000", "--trials", "2"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.strip().splitlines()[-1])
    assert [each["n_ratings"] for each in document["sizes"]] == [5_000, 20_000]
    for each in document["sizes"]:
        assert tuple(each["wall_s"]) == STEPS
        assert each["max_peak_gb"] > 0
        assert 0 < each["metrics"]["ndcg_at_10"] <= 1
