"""What tasks hand to each other is read whether this version wrote it or an earlier one."""

import json

import pytest

from recsys.errors import ConfigError
from recsys.messages import ChampionRef, ModelVersion, WrittenTable

# The event of an earlier version, without the settings that travel with it.
EARLIER = {
    "model_name": "recsys-mine-v2",
    "model_version": "recsys-mine-v2-v12",
    "model_uri": "models:/recsys-mine-v2/12",
    "model_prefix": "models/run12",
    "run_id": "run12",
    "snapshot_id": "mine-v2-0123456789ab",
    "dataset": "mine-v2",
    "training_run_id": "run13",
    "promoted": False,
    "reason": "does not beat champion",
    "announced_model_uri": "models:/recsys-mine-v2/11",
}
CHAMPION = ChampionRef(
    model=ModelVersion(name="recsys-mine-v2", number=12, uri="models:/recsys-mine-v2/12"),
    mlflow_run_id="run12",
    model_prefix="models/run12",
    dataset="mine-v2",
    snapshot_id="mine-v2-0123456789ab",
    training_run_id="run13",
    is_promoted=False,
    reason="does not beat champion",
    announced_uri="models:/recsys-mine-v2/11",
)


def test_a_champion_that_an_earlier_version_announced_is_read():
    assert ChampionRef.read(EARLIER) == CHAMPION
    assert CHAMPION.flat() == EARLIER
    optional = ("training_run_id", "promoted", "reason", "announced_model_uri")
    shortest = ChampionRef.read({name: value for name, value in EARLIER.items() if name not in optional})
    assert (shortest.is_promoted, shortest.training_run_id, shortest.announced_uri) == (False, None, None)


def test_a_champion_is_read_as_it_was_announced():
    assert ChampionRef.read(json.loads(json.dumps(CHAMPION.to_json()))) == CHAMPION


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_version": "latest"}, "model.number"),
        ({"model_name": None}, "model.name"),
        ({"run_id": None}, "mlflow_run_id"),
        ({"model_prefx": "models/run12"}, "model_prefx"),
    ],
)
def test_a_champion_that_makes_no_sense_is_refused_with_the_field(change, field):
    with pytest.raises(ConfigError, match=rf"is no ChampionRef: {field}: .*Nothing was started"):
        ChampionRef.read({**EARLIER, **change})


def test_a_table_that_a_task_of_an_earlier_version_wrote_is_read():
    earlier = {"version_id": "v1", "files": "tables/version=v1/_files/recommendations.json", "n_rows": 9}
    assert WrittenTable.read(earlier).files_key == earlier["files"]
