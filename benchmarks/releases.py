"""Ratings of a MovieLens release in the order of its file, which the published splits are drawn over."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.errors import DataError, NotFoundError
from recsys.evaluation.evaluator import Ratings

# Name of the ratings file, its separator, and how many lines of header it has.
LAYOUTS = {"u.data": ("\t", 0), "ratings.dat": (":", 0), "ratings.csv": (",", 1)}


def read_ratings(path: Path) -> Ratings:
    """Ratings of a release: its zip archive, its unpacked folder, or the ratings file itself.

    Raises:
        NotFoundError: there is nothing at `path`, or no ratings file in it.
        DataError: a line that is not user, movie, stars and Unix time.
    """
    name, content = _ratings_file(path)
    separator, n_header = LAYOUTS[name]
    if separator == ":":  # fields are parted by "::", for which pandas has no fast reader
        content = content.replace(b"::", b":")
    try:
        table = pd.read_csv(io.BytesIO(content), sep=separator, header=None, skiprows=n_header, dtype=np.float64)
        users, movies, stars, seconds = (table[i].to_numpy() for i in range(4))
    except (ValueError, KeyError) as error:
        raise DataError(
            f"{path}: {name} is not a table of user, movie, stars and time ({error}). Nothing was read. "
            "Take the release as its publisher made it."
        ) from error
    return Ratings(
        users.astype(np.int32), movies.astype(np.int32), stars.astype(np.float32), seconds.astype("datetime64[s]")
    )


def _ratings_file(path: Path) -> tuple[str, bytes]:
    if path.is_dir():
        found = {p.name: p for name in LAYOUTS for p in sorted(path.rglob(name))}
        for name in LAYOUTS:
            if name in found:
                return name, found[name].read_bytes()
    elif path.name in LAYOUTS and path.is_file():
        return path.name, path.read_bytes()
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if (name := member.rpartition("/")[2]) in LAYOUTS:
                    return name, archive.read(member)
    raise NotFoundError(
        f"{path}: none of {', '.join(LAYOUTS)} is to be found there. Nothing was read. "
        "Pass a MovieLens archive, its folder or its ratings file."
    )
