"""Folders and files that only their owner can read: ratings, models, logs and databases are nobody else's business."""

from pathlib import Path


def make_private_folder(path: Path) -> Path:
    """Create a folder for its owner alone; one that is there keeps its mode, which somebody may have chosen."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def make_private_file(path: Path) -> Path:
    """Create an empty file that its owner alone can read and write, or take those rights from all others.

    SQLite takes an empty file for an empty database, and gives its journals the mode of the database.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path
