"""Members of archives as the bytes they hold: unpacked where they are packed, seekable where a format needs it.

What a member is, its first bytes say; names are not asked.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO

from recsys.ingest.archives.archives import Archive, Member, unpacked

PARQUET_MAGIC = b"PAR1"


@contextlib.contextmanager
def opened(archive: Archive, member: Member) -> Iterator[IO[bytes]]:
    """The bytes of a member, unpacked where they are gzip, bzip2, xz or zstd.

    Raises:
        DataError: while reading, when they are damaged or unpack to more than any data set needs.
    """
    with archive.open(member) as file, unpacked(file, archive.label, member.path) as plain:
        yield plain


@contextlib.contextmanager
def seekable(archive: Archive, member: Member) -> Iterator[IO[bytes]]:
    """The bytes of a member in a file that can be read from anywhere: its own, or a temporary copy."""
    with opened(archive, member) as file:
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
