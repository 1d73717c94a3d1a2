"""Members of archives as the bytes they hold: unpacked where they are gzip, seekable where a format needs it.

What a member is, its first bytes say; names are not asked.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO

from recsys.datasets.archives import Archive, Member, gunzip

PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"


@contextlib.contextmanager
def opened(archive: Archive, member: Member) -> Iterator[IO[bytes]]:
    """The bytes of a member, unpacked where they are gzip.

    Raises:
        DataError: while reading, when they are damaged or unpack to more than any data set needs.
    """
    with archive.open(member) as file:
        head = file.peek(2)[:2]  # type: ignore[attr-defined]
        if head != _GZIP_MAGIC:
            yield file
            return
        with gunzip(file, archive.label, member.path) as unpacked:
            yield unpacked


@contextlib.contextmanager
def seekable(archive: Archive, member: Member) -> Iterator[IO[bytes]]:
    """The bytes of a member in a file that can be read from anywhere: its own, or a temporary copy."""
    with archive.open(member) as file:
        if file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.seek(0)
            yield copy


def first_bytes(archive: Archive, member: Member, n_bytes: int) -> bytes:
    """The beginning of a member, unpacked."""
    with opened(archive, member) as file:
        return file.read(n_bytes)
