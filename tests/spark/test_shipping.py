"""What executors of a cluster are sent."""

import subprocess
import sys
import zipfile

from recsys.config import PROJECT_ROOT
from recsys.spark import shipping


def test_executors_are_sent_the_whole_package_under_its_own_name(tmp_path):
    path = shipping.package(tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "executor" / shipping.PACKAGE.name)  # as Spark unpacks `path#name`
    modules = {file.relative_to(PROJECT_ROOT) for file in (PROJECT_ROOT / "recsys").rglob("*.py")}
    assert {file.relative_to(tmp_path / "executor") for file in (tmp_path / "executor").rglob("*.py")} == modules
    # -P leaves out the folder of this clone; an executor's Python begins with the one it unpacks to.
    code = "import sys; sys.path.insert(0, '.'); from recsys.spark import shipping; print(shipping.__file__)"
    answer = subprocess.check_output([sys.executable, "-P", "-c", code], cwd=tmp_path / "executor", text=True)
    assert str(tmp_path) in answer
