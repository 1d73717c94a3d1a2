"""What executors of a cluster are sent, this package's code, and what they send back when it fails."""

import uuid
import zipfile
from pathlib import Path

from recsys import errors

PACKAGE = Path(__file__).resolve().parents[1]


def package(scratch: Path) -> Path:
    """The code that the driver runs as an archive, which executors unpack into the folder their Python begins with."""
    path = scratch / f"recsys-{uuid.uuid4().hex[:12]}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            archive.write(file, file.relative_to(PACKAGE))
    return path


def as_raised(error: Exception) -> Exception:
    """The error of this package that a Python worker's traceback ends with; the error itself without one."""
    for line in reversed(str(error).splitlines()):
        name, _, message = line.strip().partition(": ")
        kind = getattr(errors, name.removeprefix("recsys.errors."), None) if name.startswith("recsys.errors.") else None
        if isinstance(kind, type) and issubclass(kind, errors.RecsysError):
            return kind(message)
    return error
