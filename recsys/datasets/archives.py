"""Archives of strangers, opened safely: a zip file or a folder, read member by member, never unpacked.

Nothing in an archive is trusted: names may climb out of folders, sizes may lie, links may point anywhere,
and what is called a zip may be an error page. Each of these is refused with a `DataError` before a row is
read, or while reading where only reading can tell.
"""

import contextlib
import io
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from recsys.errors import DataError

_NOT_READ = "Nothing was read or stored. Fetch the archive again, or from another address."


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may ask for. ml-32m, the largest release, unpacks to 1 GB at a ratio of 4."""

    max_members: int = 10_000
    max_total_bytes: int = 16 << 30
    max_ratio: float = 200.0  # unpacked to packed; text with little variety reaches 40, deflate's own limit is 1,032
    ratio_from_bytes: int = 16 << 20  # smaller members cannot hurt, whatever their ratio


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its whole path there, and its size in bytes."""

    path: str
    size_bytes: int

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def depth(self) -> int:
        return len(PurePosixPath(self.path).parts)


class Archive(ABC):
    """Members by name, wherever they lie: at the top, or below folders that only wrap them."""

    label: str
    members: tuple[Member, ...]

    @abstractmethod
    def open(self, member: Member) -> contextlib.AbstractContextManager[IO[bytes]]:
        """The bytes of a member; `DataError` while reading when they are not what was declared."""

    def find(self, name: str) -> Member | None:
        """The member with that file name, the one nearest to the top where there are several.

        Raises:
            DataError: two of them are equally near, so neither can be meant.
        """
        found = sorted((m for m in self.members if m.name.lower() == name.lower()), key=lambda m: m.depth)
        if len(found) > 1 and found[0].depth == found[1].depth:
            raise DataError(
                f"{self.label}: both {found[0].path} and {found[1].path} could be {name}. {_NOT_READ} "
                "Keep one data set per archive."
            )
        return found[0] if found else None

    def require(self, name: str, also: Sequence[str] = ()) -> Member:
        """Like `find`, but a missing member is a `DataError` that says what was looked for and found."""
        member = self.find(name)
        if member is None:
            raise DataError(
                f"{self.label}: looked for {', '.join((name, *also))}; found {self.listing()}. {_NOT_READ} "
                "Give an archive of a MovieLens release."
            )
        return member

    def listing(self, at_most: int = 12) -> str:
        """The members' names in one line, for messages."""
        names = [member.path for member in self.members[:at_most]]
        more = len(self.members) - len(names)
        return (", ".join(names) or "no files at all") + (f" and {more:,} more" if more else "")


@contextlib.contextmanager
def open_archive(path: Path, limits: Limits | None = None) -> Iterator[Archive]:
    """A zip file or a folder as an `Archive`, for the length of a ``with`` block.

    Raises:
        DataError: it is neither, it is damaged, or it holds something no data set needs.
    """
    limits = limits or Limits()
    if path.is_dir():
        yield _Folder(path, limits)
        return
    try:
        zipped = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(_why_not_a_zip(path, error)) from error
    with zipped:
        yield _Zip(path, zipped, limits)


def pack_folder(source: Path, target: Path, names: Sequence[str], limits: Limits | None = None) -> None:
    """Zip the named files of a folder, the same bytes for the same contents.

    Raises:
        DataError: the folder holds links or more than `limits` allow.
    """
    with open_archive(source, limits) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        for member in filter(None, map(archive.find, sorted(names))):
            info = zipfile.ZipInfo(member.name)  # the fixed date of 1980
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member) as file, zipped.open(info, "w", force_zip64=True) as out:
                while chunk := file.read(1 << 20):
                    out.write(chunk)


class _Zip(Archive):
    def __init__(self, path: Path, zipped: zipfile.ZipFile, limits: Limits) -> None:
        self.label = path.name
        self._zipped = zipped
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in zipped.infolist():
            self._check(info, limits)
            if not info.is_dir() and not _is_litter(info.filename):
                self._infos[info.filename] = info
        total = sum(info.file_size for info in self._infos.values())
        _check_totals(self.label, len(zipped.infolist()), total, limits)
        self.members = tuple(Member(name, info.file_size) for name, info in self._infos.items())

    def _check(self, info: zipfile.ZipInfo, limits: Limits) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        fault = _unsafe(info.orig_filename)
        if info.filename in self._infos:
            fault = "appears twice"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            fault = "is a symbolic link or a special file"
        elif info.flag_bits & 0x1:
            fault = "is encrypted"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            fault = f"is compressed by method {info.compress_type}; only stored and deflated members are read"
        elif info.file_size >= limits.ratio_from_bytes and info.file_size > limits.max_ratio * info.compress_size:
            fault = (
                f"claims to unpack {info.compress_size:,} bytes to {info.file_size:,}, "
                f"more than {limits.max_ratio:g} times its size"
            )
        if fault:
            raise DataError(f"{self.label}: member {info.orig_filename!r} {fault}. {_NOT_READ}")

    @contextlib.contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with _mapped(self.label, member):
            raw = self._zipped.open(self._infos[member.path])
        with raw:
            yield io.BufferedReader(_Checked(raw, self.label, member), buffer_size=1 << 20)


class _Folder(Archive):
    def __init__(self, root: Path, limits: Limits) -> None:
        self.label = root.name
        self._root = root
        members = []
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                raise DataError(f"{self.label}: {name!r} is a symbolic link. {_NOT_READ} Put the file itself there.")
            if path.is_file() and not _is_litter(name):
                members.append(Member(name, path.stat().st_size))
            if len(members) > limits.max_members:
                break
        _check_totals(self.label, len(members), sum(member.size_bytes for member in members), limits)
        self.members = tuple(members)

    @contextlib.contextmanager
    def open(self, member: Member) -> Iterator[IO[bytes]]:
        with (self._root / member.path).open("rb") as file:
            yield file


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
        with _mapped(self._label, self._member):
            data = self._raw.read(len(buffer))
        self._n_read += len(data)
        if self._n_read > self._member.size_bytes or (not data and self._n_read < self._member.size_bytes):
            raise DataError(
                f"{self._label}: {self._member.path} declares {self._member.size_bytes:,} bytes and gave "
                f"{self._n_read:,}. {_NOT_READ}"
            )
        buffer[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def _mapped(label: str, member: Member) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise DataError(f"{label}: {member.path} is damaged ({error}). {_NOT_READ}") from error


def _unsafe(name: str) -> str | None:
    """What is wrong with a member's name, or None.

    >>> _unsafe("ml-25m/ratings.csv"), _unsafe("../x"), _unsafe("/etc/passwd")
    (None, 'climbs out of its folder', 'has an absolute path')
    """
    path = PurePosixPath(name)
    if "\0" in name or "\\" in name:
        return "has a name no data set needs"
    if path.is_absolute() or name[1:2] == ":":
        return "has an absolute path"
    if ".." in path.parts:
        return "climbs out of its folder"
    return None


def _is_litter(name: str) -> bool:
    """Whether a member is what desktops leave behind rather than data."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)


def _check_totals(label: str, n_members: int, total_bytes: int, limits: Limits) -> None:
    if n_members > limits.max_members:
        raise DataError(f"{label}: {n_members:,} members or more, {limits.max_members:,} allowed. {_NOT_READ}")
    if total_bytes > limits.max_total_bytes:
        raise DataError(f"{label}: unpacks to {total_bytes:,} bytes, {limits.max_total_bytes:,} allowed. {_NOT_READ}")


def _why_not_a_zip(path: Path, error: Exception) -> str:
    if not path.is_file():
        return f"{path}: no such file or folder. Nothing was started. Check the path."
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if looks_like_html(head):
        what = "is a web page, not an archive: an error or sign-in page was saved in its place"
    elif head.startswith(b"PK\x03\x04"):
        what = f"is a zip file cut short or damaged at its end ({error})"
    else:
        what = f"is not a zip file ({error})"
    return f"{path.name} ({size_bytes:,} bytes) {what}. {_NOT_READ}"


def looks_like_html(head: bytes) -> bool:
    r"""Whether bytes begin as web pages do.

    >>> looks_like_html(b"\n<!DOCTYPE html><html>"), looks_like_html(b"PK\x03\x04")
    (True, False)
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))
