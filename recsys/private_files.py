"""Folders and files that only their owner can read: ratings, models, logs and databases are nobody else's business."""

from itertools import takewhile
from pathlib import Path


def make_private_folder(path: Path) -> Path:
    """Create a folder, and those above it that are missing, for their owner alone.

    One that is there keeps its mode, which somebody may have chosen.
    """
    missing = [*takewhile(lambda folder: not folder.is_dir(), (path, *path.parents))]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    return path


def make_private_file(path: Path) -> Path:
    """Create an empty file that its owner alone can read and write, or take those rights from all others.

    SQLite takes an empty file for an empty database, and gives its journals the mode of the database.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path
