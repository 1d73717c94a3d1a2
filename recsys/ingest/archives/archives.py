"""Archives of strangers, opened safely: a zip file, a folder or a single file, read by member and never unpacked.

Nothing in an archive is trusted: names may climb out of folders, sizes may lie, links may point anywhere,
and what is called a zip may be an error page. Each of these is refused with a `DataError` before a row is
read, or while reading where only reading can tell.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

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
    is_part,
    looks_like_html,
    read_head,
)
from recsys.ingest.archives.zips import open_zip

__all__ = ["Archive", "Limits", "Member", "file_suffix", "looks_like_html", "open_archive", "pack_folder", "unpacked"]

_TABLES = ("csv", "tsv", "txt", "dat", "data", "parquet", "pq")
_PACKED = ("gz", "bz2", "xz", "zst", "zstd")
_MAGIC_BYTES = 6


def _unzstd(raw: io.RawIOBase) -> IO[bytes]:
    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")  # type: ignore[no-any-return]


_UNPACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _unzstd,
}


@contextlib.contextmanager
def open_archive(path: Path, limits: Limits | None = None) -> Iterator[Archive]:
    """A zip file, a folder or a single table's file as an `Archive`, for the length of a ``with`` block.

    A packed file is an archive of one member that is named without that ending; its size is found by unpacking it
    once.

    Raises:
        DataError: it is none of these, it is damaged, or it holds something no data set needs.
    """
    limits = limits or Limits()
    if path.is_dir():
        yield _Folder(path, limits)
    elif not path.is_file():
        raise DataError(f"{path}: no such file or folder. Nothing was started. Check the path.")
    elif path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        yield _File(path, limits)
    else:
        with open_zip(path, limits) as archive:
            yield archive


def file_suffix(name: str) -> str:
    """The ending of a file that is a table by itself, or nothing.

    >>> file_suffix("Ratings.CSV.gz"), file_suffix("ratings.pq"), file_suffix("ml-25m.zip")
    ('.csv.gz', '.pq', '')
    """
    match = re.search(rf"(\.({'|'.join(_TABLES)}))?(\.({'|'.join(_PACKED)}))?$", name.lower())
    return match[0] if match else ""


def pack_folder(source: Path, target: Path, names: Sequence[str], limits: Limits | None = None) -> tuple[str, ...]:
    """Zip the named files of a folder, the same bytes for the same contents; returns the paths of the others.

    Args:
        source: the folder.
        target: the archive to write.
        names: names or whole paths of files; those that are not there are passed over.
        limits: what the folder may hold.

    Raises:
        DataError: the folder holds links or more than `limits` allow.
    """
    with open_archive(source, limits) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        by_path = {member.path: member for member in archive.members}
        members = {member for name in names if (member := by_path.get(name) or archive.find(name))}
        for member in sorted(members, key=lambda member: (member.name, member.path)):
            # Parts may have one name in several folders, and are named by these.
            info = zipfile.ZipInfo(member.path if is_part(member.path) else member.name)  # the fixed date of 1980
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member) as file, zipped.open(info, "w", force_zip64=True) as out:
                while chunk := file.read(CHUNK_BYTES):
                    out.write(chunk)
    return tuple(member.path for member in archive.members if member not in members)


@contextlib.contextmanager
def unpacked(raw: IO[bytes], label: str, name: str, limits: Limits | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a stream as they are, or unpacked where its first bytes are those of gzip, bzip2, xz or zstd.

    Args:
        raw: a stream at its beginning, which can `peek`.
        label: the archive's name, for messages.
        name: the member's name, for messages.
        limits: total size, and size in proportion to the packed bytes read so far.

    Raises:
        DataError: while reading: it is damaged or cut short, or unpacks to more than is allowed.
    """
    head = raw.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]  # type: ignore[attr-defined]
    unpacker = next((unpacker for magic, unpacker in _UNPACKERS.items() if head.startswith(magic)), None)
    if unpacker is None:
        yield raw
        return
    packed = _Counted(raw)
    with faults_named(label, name), unpacker(packed) as stream:
        bounded = _Bounded(stream, packed, label, name, limits or Limits())
        yield io.BufferedReader(bounded, buffer_size=CHUNK_BYTES)


class _Folder(Archive):
    def __init__(self, root: Path, limits: Limits) -> None:
        self.label = root.name
        self._root = root
        members = []
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                raise DataError(f"{self.label}: {name!r} is a symbolic link. {NOT_READ} Put the file itself there.")
            if path.is_file() and not is_litter(name):
                members.append(Member(name, path.stat().st_size))
            if len(members) > limits.max_members:
                break
        check_totals(self.label, len(members), sum(member.size_bytes for member in members), limits)
        self.members = tuple(members)

    @contextlib.contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with contextlib.ExitStack() as stack:
            with faults_named(self.label, member.path):
                file = stack.enter_context((self._root / member.path).open("rb"))
            yield file


class _File(Archive):
    """One file by itself, packed or not."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.label = path.name
        self._path = path
        self._limits = limits
        if looks_like_html(read_head(path)):
            raise DataError(f"{self.label} ({path.stat().st_size:,} bytes) is a web page, not a table. {FETCH_AGAIN}")
        name = re.sub(rf"\.({'|'.join(_PACKED)})$", "", path.name, flags=re.IGNORECASE)
        size_bytes = path.stat().st_size
        if any(read_head(path).startswith(magic) for magic in _UNPACKERS):
            with self.open(Member(name, 0)) as file:
                size_bytes = sum(len(chunk) for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))
        check_totals(self.label, 1, size_bytes, limits)
        self.members = (Member(name, size_bytes),)

    @contextlib.contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with contextlib.ExitStack() as stack:
            with faults_named(self.label, member.path):
                file: IO[bytes] = stack.enter_context(self._path.open("rb"))
            yield stack.enter_context(unpacked(file, self.label, member.path, self._limits))


class _Counted(io.RawIOBase):
    """A stream that knows how much of it was read; members of zip files cannot tell their place."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        self.n_read += len(data)
        buffer[: len(data)] = data
        return len(data)


class _Bounded(io.RawIOBase):
    """A packed stream that may not unpack to too much, with its errors made ours."""

    def __init__(self, unpacked: IO[bytes], packed: _Counted, label: str, name: str, limits: Limits) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._label = label
        self._name = name
        self._limits = limits
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with faults_named(self._label, self._name):
            data = self._unpacked.read(len(buffer))
        self._n_read += len(data)
        check_totals(self._label, 1, self._n_read, self._limits)
        n_packed = self._packed.n_read
        if self._n_read >= self._limits.ratio_from_bytes and self._n_read > self._limits.max_ratio * n_packed:
            raise DataError(
                f"{self._label}: {self._name} unpacks {n_packed:,} bytes to {self._n_read:,} and more, over "
                f"{self._limits.max_ratio:g} times its size. {FETCH_AGAIN}"
            )
        buffer[: len(data)] = data
        return len(data)
