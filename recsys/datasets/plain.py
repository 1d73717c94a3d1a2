"""A single file as an archive of one member, and compressed members as what they hold.

What a file is, its first bytes say; names are not asked.
"""

import contextlib
import gzip
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from recsys.datasets.archives import Archive, Limits, Member, looks_like_html, open_archive
from recsys.errors import DataError

PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_LIMITS = Limits()


@contextlib.contextmanager
def open_source(path: Path, limits: Limits | None = None) -> Iterator[Archive]:
    """A zip file, a folder, or one file of rows (text, gzip or Parquet), as an `Archive`.

    Raises:
        DataError: it is none of them, it is damaged, or it holds something no data set needs.
    """
    if path.is_file() and _holds_rows(path):
        yield _File(path)
        return
    with open_archive(path, limits) as archive:
        yield archive


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
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield io.BufferedReader(_Unpacked(unpacked, f"{archive.label}: {member.path}", member.size_bytes), 1 << 20)


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


def _holds_rows(path: Path) -> bool:
    """Whether a file is Parquet, gzip or text of at least two lines, rather than an archive or a web page."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((PARQUET_MAGIC, _GZIP_MAGIC)):
        return True
    line, *more = re.split(rb"[\r\n]", head, maxsplit=1)
    return bool(more) and b"\0" not in line and not head.startswith(_ZIP_MAGIC) and not looks_like_html(head)


class _File(Archive):
    def __init__(self, path: Path) -> None:
        self.label = path.name
        self._path = path
        self.members = (Member(path.name, path.stat().st_size),)

    @contextlib.contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with self._path.open("rb") as file:
            yield file


class _Unpacked(io.RawIOBase):
    """A gzip stream that may not grow without bounds, with its errors made ours."""

    def __init__(self, raw: gzip.GzipFile, label: str, size_bytes: int) -> None:
        self._raw = raw
        self._label = label
        self._allowed = min(_LIMITS.max_total_bytes, max(_LIMITS.ratio_from_bytes, int(_LIMITS.max_ratio * size_bytes)))
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._raw.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(
                f"{self._label} is damaged ({error}). Nothing was read or stored. Fetch the file again."
            ) from error
        self._n_read += len(data)
        if self._n_read > self._allowed:
            raise DataError(
                f"{self._label} unpacks to more than {self._allowed:,} bytes, more than its size allows. "
                "Nothing was read or stored. Fetch the file again, or give it unpacked."
            )
        buffer[: len(data)] = data
        return len(data)
