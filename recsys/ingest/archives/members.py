"""What an archive is here, whatever holds it: members with safe names, read within limits, never unpacked.

`recsys.ingest.archives.archives.open_archive` gives one; zip files are `recsys.ingest.archives.zips`.
"""

import contextlib
import lzma
import re
import stat
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from recsys.errors import DataError

NOT_READ = "Nothing was read or stored."
FETCH_AGAIN = f"{NOT_READ} Fetch the archive again, or from another address."
CHUNK_BYTES = 1 << 20

_PART = re.compile(r"(?:(?:part|data|chunk)?[-_.]?[0-9]+|part-[^.]*)\..*", re.IGNORECASE)
_LONGEST_PATH = 1_024
_DEEPEST_PATH = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may ask for. ml-32m, the largest release, unpacks to 1 GB at a ratio of 4."""

    max_members: int = 10_000
    max_listing_bytes: int = 16 << 20  # a zip file's own list of its members
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

    def place(self, path: str) -> str:
        """A member's name for messages: with the archive's, unless it is the archive itself."""
        return path if path == self.label else f"{self.label}: {path}"

    def find(self, name: str) -> Member | None:
        """The member with that file name, the one nearest to the top where there are several.

        Raises:
            DataError: two of them are equally near, so neither can be meant.
        """
        found = sorted((m for m in self.members if m.name.lower() == name.lower()), key=lambda m: m.depth)
        if len(found) > 1 and found[0].depth == found[1].depth:
            raise DataError(
                f"{self.label}: both {found[0].path} and {found[1].path} could be {name}. {NOT_READ} "
                "Keep one data set per archive."
            )
        return found[0] if found else None

    def require(self, name: str, also: Sequence[str] = ()) -> Member:
        """Like `find`, but a missing member is a `DataError` that says what was looked for and found."""
        member = self.find(name)
        if member is None:
            raise DataError(
                f"{self.label}: looked for {', '.join((name, *also))}; found {self.listing()}. {NOT_READ} "
                f"Put {name} beside the other files, or fetch the archive again."
            )
        return member

    def listing(self, at_most: int = 12) -> str:
        """The members' names in one line, for messages."""
        names = [member.path for member in self.members[:at_most]]
        more = len(self.members) - len(names)
        return (", ".join(names) or "no files at all") + (f" and {more:,} more" if more else "")

    def verify(self) -> None:
        """Read every member to its end, which alone tells real sizes, checksums and encodings (330 MB/s).

        Raises:
            DataError: a member is damaged, or is not as long as declared.
        """
        for member in self.members:
            with self.open(member) as file:
                while file.read(CHUNK_BYTES):
                    pass


@contextlib.contextmanager
def faults_named(label: str, member: str) -> Iterator[None]:
    """Turn what libraries raise over broken bytes into a `DataError` that names the member."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as error:
        raise DataError(f"{label}: {member} is damaged ({error}). {FETCH_AGAIN}") from error


def unsafe_name(name: str) -> str | None:
    r"""What is wrong with a member's name, or None.

    >>> unsafe_name("ml-25m/ratings.csv"), unsafe_name("../x"), unsafe_name("/etc/passwd")
    (None, 'climbs out of its folder', 'has an absolute path')
    >>> unsafe_name("ratings\x1b[2J.csv")
    'has a name with control characters or backslashes'
    """
    path = PurePosixPath(name)
    if "\\" in name or any(unicodedata.category(character) in {"Cc", "Cf", "Cs"} for character in name):
        return "has a name with control characters or backslashes"
    if path.is_absolute() or name[1:2] == ":":
        return "has an absolute path"
    if ".." in path.parts:
        return "climbs out of its folder"
    if len(name) > _LONGEST_PATH or len(path.parts) > _DEEPEST_PATH:
        return f"lies more than {_DEEPEST_PATH} folders deep, or its path has more than {_LONGEST_PATH:,} characters"
    return None


def is_part(path: str) -> bool:
    """Whether a file's name is a number, as of one of several files that are a table together, or its folder a value.

    >>> [is_part(path) for path in ("r/part-00000-77aa.csv", "data_0.parquet", "year=2019/x.csv", "ratings.csv")]
    [True, True, True, False]
    """
    *folders, name = PurePosixPath(path).parts
    return bool(_PART.fullmatch(name)) or any("=" in folder for folder in folders)


def is_litter(name: str) -> bool:
    """Whether a member is what desktops leave behind rather than data.

    >>> is_litter("__MACOSX/ratings.csv"), is_litter("ml/.DS_Store"), is_litter("ml/ratings.csv")
    (True, True, False)
    """
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)


def is_plain(mode: int) -> bool:
    """Whether Unix mode bits are those of a file or folder, or absent; links and devices are neither.

    >>> is_plain(0), is_plain(0o100644), is_plain(0o120777)
    (True, True, False)
    """
    return stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)


def check_totals(label: str, n_members: int, total_bytes: int, limits: Limits) -> None:
    """Raise a `DataError` for more members or more bytes than allowed."""
    if n_members > limits.max_members:
        raise DataError(f"{label}: {n_members:,} members or more, {limits.max_members:,} allowed. {FETCH_AGAIN}")
    if total_bytes > limits.max_total_bytes:
        raise DataError(f"{label}: unpacks to {total_bytes:,} bytes, {limits.max_total_bytes:,} allowed. {FETCH_AGAIN}")


def read_head(path: Path) -> bytes:
    """The first 512 bytes of a file."""
    with path.open("rb") as file:
        return file.read(512)


def looks_like_html(head: bytes) -> bool:
    r"""Whether bytes begin as web pages do.

    >>> looks_like_html(b"\n<!DOCTYPE html><html>"), looks_like_html(b"PK\x03\x04")
    (True, False)
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--"))
