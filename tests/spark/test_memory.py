"""How much memory a process may take: what the control group says, of either version, or else the machine."""

import pytest

from recsys.spark.memory import group_limits, machine_mb

GB = 2**30


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/\n", {"memory.max": f"{8 * GB}\n"}, [8 * GB]),  # inside a container
        ("0::/system.slice/airflow.service\n", {"system.slice/airflow.service/memory.max": str(4 * GB)}, [4 * GB]),
        ("0::/\n", {"memory.max": "max\n"}, []),
        ("4:memory:/docker/12ab\n3:cpu:/\n0::/\n", {"memory/memory.limit_in_bytes": str(2 * GB)}, [2 * GB]),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": str(GB), "memory.max": str(2 * GB)}, [GB]),
        ("3:cpu:/\n", {}, []),
    ],
)
def test_the_limit_is_read_where_the_group_has_it(tmp_path, groups, files, limits):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert group_limits(groups, tmp_path) == limits


def test_a_machine_has_some_memory():
    assert 512 < machine_mb() < 2**24
