"""The cost model on costs that are known, and the table it prints."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks import sizing
from benchmarks.pipeline import STEPS
from benchmarks.sizing import DRIVERS, SPREAD, CostModel, Size


def invented(n_ratings, n_users, n_movies):
    """Each step: 3 core-s, 2 for each million of everything it grows with; twice as long as on two full cores."""
    size = Size(n_ratings, n_users, n_movies)
    core_s = {step: 3 + sum(2e-6 * size.of(driver) for driver in drivers) for step, drivers in DRIVERS.items()}
    wall_s = {step: cost if step in SPREAD else 1.5 * cost for step, cost in core_s.items()}
    return {
        "n_ratings": n_ratings,
        "n_users": n_users,
        "n_movies": n_movies,
        "cpu_s": core_s,
        "wall_s": wall_s,
        "total_wall_s": sum(wall_s.values()),
        "max_peak_gb": 1 + 3e-7 * n_ratings,
    }


MEASURED = [
    invented(100_000, 700, 3_000),
    invented(1_000_000, 6_000, 12_000),
    invented(4_000_000, 25_000, 20_000),
    invented(9_000_000, 90_000, 30_000),
]


def test_every_step_of_the_pipeline_has_a_cost():
    assert tuple(DRIVERS) == STEPS
    assert set(SPREAD) < set(STEPS)


def test_costs_that_are_linear_are_found_again_and_go_on_at_other_sizes():
    model, size = CostModel(MEASURED), Size(20_000_000, 100_000, 50_000, n_cores=8)
    assert model.core_s("parse", size) == pytest.approx(3 + 2 * 20)
    assert model.core_s("search", size) == pytest.approx(3 + 2 * (20 + 5_000), rel=1e-3)  # 100,000 x 50,000 pairs
    assert model.core_s("score_similar", size) == pytest.approx(3 + 2 * 2_500)  # 50,000 x 50,000
    assert model.memory_gb(size) == pytest.approx(1 + 0.3 * 20)
    crowd = Size(1_540_000, 1_010_000, 50_000)  # a million users more than 154 ratings each make
    assert model.memory_gb(crowd) == pytest.approx(1 + 0.3 * 1.54 + 1.024)


def test_only_steps_inside_spark_gain_from_cores():
    model, few, many = CostModel(MEASURED), Size(20_000_000, 100_000, 50_000, 2), Size(20_000_000, 100_000, 50_000, 8)
    assert model.wall_s("parse", few) == model.wall_s("parse", many) == pytest.approx(1.5 * 43)
    # Two cores took as many seconds as there were core-seconds: half of them was idle, as half of eight will be.
    assert model.wall_s("fit", few) == pytest.approx(3 + 40)
    assert model.wall_s("fit", many) == pytest.approx(3 + 40 / 4)


def test_the_table_says_what_was_measured_and_what_is_projected(tmp_path):
    import typer

    path = tmp_path / "pipeline.json"
    path.write_text("a table\n" + json.dumps({"benchmark": "pipeline", "sizes": MEASURED}) + "\n")
    app = typer.Typer()
    app.command()(sizing.main)
    result = CliRunner().invoke(app, ["--measured", str(path)])
    assert result.exit_code == 0, result.output
    lines = json.loads(result.stdout.strip().splitlines()[-1])["minutes"]
    assert [kind for *_, kind, _ in lines] == ["measured"] * 4 + ["projected"] * len(sizing.PROJECTED)
    assert float(lines[3][-1]) == pytest.approx(MEASURED[3]["total_wall_s"] / 60, abs=0.05)
    assert max(n_users for _, n_users, *_ in lines) == 100_000_000
