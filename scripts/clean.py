"""Remove the state of this clone, in RECSYS_STATE_DIR or `.state`: ``python3 scripts/clean.py``. It needs no `.venv`.

Only what the project itself makes is removed: a state folder may hold other things that are somebody's own.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ("airflow", "logs", "mlflow", "numba", "stack", "store", "test", "tmp")
CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache")


def main():
    """Remove the state and the tools' caches; say what is left."""
    given = os.environ.get("RECSYS_STATE_DIR")
    state = Path(given).expanduser().absolute() if given else ROOT / ".state"
    refuse_shared(state)
    for path in [*(state / name for name in STATE), *(ROOT / name for name in CACHES)]:
        remove(path)
    names = ", ".join(sorted(path.name for path in state.iterdir())) if state.is_dir() else ""
    if names:
        print("{} stays: this project did not make what is left in it ({}).".format(state, names))
    else:
        with contextlib.suppress(OSError):  # it is not there, or a link or a mount point
            state.rmdir()


def refuse_shared(state):
    """Stop where `state` holds the clone or the home folder: a `tmp` or `test` in it is most likely somebody's own."""
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111  Path.home fails where there is none
    if state.resolve() in (ROOT, *ROOT.parents, home, *home.parents):
        names = ", ".join(name for name in STATE if (state / name).exists())
        sys.exit(
            "{} holds this clone or your home folder, and what is in it may be somebody's own. Nothing was removed. "
            "Look into these folders, and remove those that hold the state: {}.".format(state, names or "none is there")
        )


def remove(path):
    """Remove a folder, or the link that stands for one."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(str(path))


if __name__ == "__main__":
    main()
