"""Remove the state of this clone, in RECSYS_STATE_DIR or `.state`: ``python3 scripts/clean.py``. It needs no `.venv`.

Only what the project itself makes is removed: a state folder may hold other things that are somebody's own.
"""

import contextlib
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ("airflow", "logs", "mlflow", "numba", "stack", "store", "test", "tmp")
CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache")


def main():
    """Remove the state and the tools' caches; say what is left."""
    given = os.environ.get("RECSYS_STATE_DIR")
    state = Path(given).expanduser().absolute() if given else ROOT / ".state"
    for path in [*(state / name for name in STATE), *(ROOT / name for name in CACHES)]:
        remove(path)
    names = ", ".join(sorted(path.name for path in state.iterdir())) if state.is_dir() else ""
    if names:
        print("{} stays: this project did not make what is left in it ({}).".format(state, names))
    else:
        with contextlib.suppress(OSError):  # it is not there, or a link or a mount point
            state.rmdir()


def remove(path):
    """Remove a folder, or the link that stands for one."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(str(path))


if __name__ == "__main__":
    main()
