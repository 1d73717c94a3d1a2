"""Zip files of strangers, read member by member: what they claim is checked before, what they give while reading.

Nothing in a zip file is trusted: names may climb out of folders, sizes may lie, members may share their bytes,
links may point anywhere. Python's `zipfile` looks for some of this, and in some of its releases only.
"""

import contextlib
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from recsys.errors import DataError
from recsys.ingest.archives.members import (
    CHUNK_BYTES,
    FETCH_AGAIN,
    NOT_READ,
    Archive,
    Limits,
    Member,
    check_totals,
    faults_named,
    is_litter,
    is_plain,
    looks_like_html,
    read_head,
    unsafe_name,
)

_LOCAL_HEADER_BYTES = 30  # the fixed part; names and extra fields follow


@contextlib.contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[Archive]:
    """A zip file as an `Archive`, for the length of a ``with`` block.

    Raises:
        DataError: it is none, it is damaged, or it holds something no data set needs.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_BoundedReads(io.FileIO(path), limits.max_listing_bytes, path.name))
            zipped = stack.enter_context(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(_why_not_a_zip(path, error)) from error
        yield _Zip(path.name, zipped, limits)


class _Zip(Archive):
    def __init__(self, label: str, zipped: zipfile.ZipFile, limits: Limits) -> None:
        self.label = label
        self._zipped = zipped
        infos = zipped.infolist()
        check_totals(label, len(infos), sum(info.file_size for info in infos), limits)
        taken: dict[str, str] = {}
        for info in infos:
            self._check(info, taken, limits)
            taken[info.filename.casefold()] = info.filename
        self._check_overlaps(infos)
        self._infos = {info.filename: info for info in infos if not info.is_dir() and not is_litter(info.filename)}
        self.members = tuple(Member(name, info.file_size) for name, info in self._infos.items())

    def _check(self, info: zipfile.ZipInfo, taken: dict[str, str], limits: Limits) -> None:
        fault = unsafe_name(info.orig_filename)
        twin = taken.get(info.filename.casefold())
        if twin == info.filename:
            fault = "appears twice"
        elif twin is not None:
            fault = f"differs from {twin!r} in upper and lower case only"
        elif not is_plain(info.external_attr >> 16):
            fault = "is a symbolic link or a special file"
        elif info.flag_bits & 0x1:
            raise DataError(
                f"{self.label}: member {info.orig_filename!r} is encrypted. {NOT_READ} Unpack the "
                "archive with its password, and give the folder."
            )
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            fault = f"is compressed by method {info.compress_type}; only stored and deflated members are read"
        elif info.file_size >= limits.ratio_from_bytes and info.file_size > limits.max_ratio * info.compress_size:
            fault = (
                f"claims to unpack {info.compress_size:,} bytes to {info.file_size:,}, "
                f"more than {limits.max_ratio:g} times its size"
            )
        if fault:
            raise DataError(f"{self.label}: member {info.orig_filename!r} {fault}. {FETCH_AGAIN}")

    def _check_overlaps(self, infos: list[zipfile.ZipInfo]) -> None:
        """Members that share bytes unpack to far more than the ratio of each says.

        The construction is David Fifield's, "A better zip bomb" (https://www.bamsoftware.com/hacks/zipbomb/);
        Python looks for it since 3.11.8 (CVE-2024-0450), and then only in members that are read.
        """
        for one, next_one in itertools.pairwise(sorted(infos, key=lambda info: info.header_offset)):
            end = one.header_offset + _LOCAL_HEADER_BYTES + len(one.orig_filename) + one.compress_size
            if end > next_one.header_offset:
                raise DataError(
                    f"{self.label}: members {one.orig_filename!r} and {next_one.orig_filename!r} overlap: they claim "
                    f"the same bytes, as zip bombs do. {FETCH_AGAIN}"
                )

    @contextlib.contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with faults_named(self.label, member.path):
            raw = self._zipped.open(self._infos[member.path])
        with raw:
            yield io.BufferedReader(_Checked(raw, self.label, member), buffer_size=CHUNK_BYTES)


class _Checked(io.RawIOBase):
    """A zip member that may be no longer and no shorter than it declared, with its errors made ours."""

    def __init__(self, raw: IO[bytes], label: str, member: Member) -> None:
        self._raw = raw
        self._label = label
        self._member = member
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with faults_named(self._label, self._member.path):
            data = self._raw.read(len(buffer))
        self._n_read += len(data)
        if self._n_read > self._member.size_bytes or (not data and self._n_read < self._member.size_bytes):
            raise DataError(
                f"{self._label}: {self._member.path} declares {self._member.size_bytes:,} bytes and gave "
                f"{self._n_read:,}. {FETCH_AGAIN}"
            )
        buffer[: len(data)] = data
        return len(data)


class _BoundedReads(io.BufferedReader):
    """A file that refuses huge single reads: `zipfile` takes the list of members in one, millions of them too."""

    def __init__(self, raw: io.FileIO, most_bytes: int, label: str) -> None:
        super().__init__(raw)
        self._most_bytes = most_bytes
        self._label = label

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._most_bytes:
            raise DataError(
                f"{self._label}: the list of its members takes {size:,} bytes, {self._most_bytes:,} allowed. "
                f"{FETCH_AGAIN}"
            )
        return super().read(size)


def _why_not_a_zip(path: Path, error: Exception) -> str:
    head = read_head(path)
    if looks_like_html(head):
        what = "is a web page, not an archive: an error or sign-in page was saved in its place"
    elif head.startswith(b"PK\x03\x04"):
        what = f"is a zip file cut short or damaged at its end ({error})"
    else:
        what = f"is not a zip file ({error})"
    return f"{path.name} ({path.stat().st_size:,} bytes) {what}. {FETCH_AGAIN}"
