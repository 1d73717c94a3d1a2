"""An object store as eleven verbs, over a directory or over S3.

Create-only `put` is the one synchronisation primitive of the project: of any number of writers racing
for a key exactly one wins, the others get `AlreadyExistsError`. Both implementations pass one contract
test (tests/storage/test_store.py).
"""

import contextlib
import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError

_LONGEST_KEY, _LONGEST_PART = 1_024, 255


class Store(ABC):
    """Objects by key. Keys are relative POSIX paths: ``a/b.json``; no ``..``, no leading slash."""

    url: str

    @abstractmethod
    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """Write an object whole, or not at all.

        Raises:
            AlreadyExistsError: the key is taken and `overwrite` is false.
        """

    @abstractmethod
    def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> None:
        """Like `put`, with the content of a local file that may be larger than memory."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            NotFoundError: there is no such key.
        """

    @abstractmethod
    def get_file(self, key: str, path: Path) -> None:
        """Copy an object into a local file, which appears only when it is complete."""

    @abstractmethod
    def exists(self, key: str) -> bool: ...

    @abstractmethod
    def size_bytes(self, key: str) -> int:
        """Size of an object in bytes; `NotFoundError` when there is none."""

    @abstractmethod
    def modified_at(self, key: str) -> datetime:
        """When an object was written, in UTC; `NotFoundError` when there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys that start with `prefix`, in ascending order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""

    @abstractmethod
    def uri(self, key: str) -> str:
        """The address other tools read the object by: a path, or ``s3://bucket/key``."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """A seekable reader over an object that transfers only what is read; `NotFoundError` without one."""

    def local_path(self, key: str) -> Path | None:
        """The file behind a key, where there is one on this machine; None for remote stores."""
        return None

    def probe(self) -> None:
        """Prove that the store is writable and that create-only writes are honoured.

        Some S3 servers accept ``If-None-Match: *`` and overwrite all the same; publishing on one of those
        would lose releases without a sign.

        Raises:
            ConfigError: create-only writes are ignored.
        """
        key = f"_probe/{uuid.uuid4().hex}"
        self.put(key, b"first")
        try:
            self.put(key, b"second")
        except AlreadyExistsError:
            return
        finally:
            self.delete(key)
        raise ConfigError(
            f"{self.url} accepted a second create-only write of one key, so concurrent releases could be lost. "
            "Nothing was published. Use a store that honours If-None-Match: * (AWS S3, Ceph RGW, SeaweedFS)."
        )


def check_key(key: str) -> str:
    """The key itself, if it is a plain relative POSIX path.

    >>> check_key("snapshots/a/ratings.parquet")
    'snapshots/a/ratings.parquet'
    """
    path = PurePosixPath(key)
    if not key or path.is_absolute() or ".." in path.parts or str(path) != key or "\\" in key or "\0" in key:
        raise ConfigError(f"{key[:80]!r} is no valid key: use a relative path without '..', '//' or a trailing '/'.")
    # What S3 and file systems take; longer ones would fail in each of them in another way.
    longest = max(len(part.encode(errors="replace")) for part in path.parts)
    if longest > _LONGEST_PART or len(key.encode(errors="replace")) > _LONGEST_KEY:
        raise ConfigError(
            f"{key[:80]!r}… is no valid key: up to {_LONGEST_KEY:,} bytes are possible, {_LONGEST_PART} between two "
            f"slashes; these are {len(key):,} characters."
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself, if it is empty or the beginning of a valid key.

    >>> check_prefix("snapshots/"), check_prefix("")
    ('snapshots/', '')
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


class FileStore(Store):
    """Objects as files below one directory. Writes go to a temporary name, are synced, then linked."""

    _TMP = ".tmp"

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.url = str(self.root)

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        with self._publishing(key, overwrite) as temporary, temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> None:
        with self._publishing(key, overwrite) as temporary, temporary.open("wb") as file:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFoundError.key(key, self.url) from error

    def get_file(self, key: str, path: Path) -> None:
        source = self._path(key)
        if not source.is_file():
            raise NotFoundError.key(key, self.url)
        with complete_file(path) as temporary:
            shutil.copyfile(source, temporary)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size_bytes(self, key: str) -> int:
        if not self.exists(key):
            raise NotFoundError.key(key, self.url)
        return self._path(key).stat().st_size

    def modified_at(self, key: str) -> datetime:
        if not self.exists(key):
            raise NotFoundError.key(key, self.url)
        return datetime.fromtimestamp(self._path(key).stat().st_mtime, UTC)

    def list(self, prefix: str = "") -> Iterator[str]:
        # Only the deepest folder the prefix names is walked; the rest of the store is left alone.
        folder = self.root / check_prefix(prefix).rpartition("/")[0]
        keys = []
        for directory, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name != self._TMP]
            keys += [(Path(directory) / name).relative_to(self.root).as_posix() for name in files]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def uri(self, key: str) -> str:
        return str(self._path(key))

    def open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFoundError.key(key, self.url) from error

    def local_path(self, key: str) -> Path:
        return self._path(key)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextlib.contextmanager
    def _publishing(self, key: str, overwrite: bool) -> Iterator[Path]:
        target = self._path(key)
        temporary = self.root / self._TMP / uuid.uuid4().hex
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if overwrite:
                temporary.replace(target)
            else:
                target.hardlink_to(temporary)  # atomic, and refuses to replace
        except FileExistsError as error:
            raise AlreadyExistsError.key(key, self.url) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ConfigError(
                    f"{self.url}: the disk is full; {key} was not written. Free space and run again."
                ) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)


def open_store(url: str) -> Store:
    """The store behind a URL: ``s3://bucket/prefix``, ``file:///path`` or a plain path.

    Raises:
        ConfigError: an unknown scheme, or an S3 URL without a bucket.
    """
    from recsys.storage.s3 import S3Store  # it builds on this module

    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise ConfigError(f"{url!r} names no bucket. Set RECSYS_STORE_URL to s3://bucket/prefix.")
        return S3Store(parts.netloc, parts.path)
    if parts.scheme == "file":
        return FileStore(Path(parts.path))
    if parts.scheme or not url:
        raise ConfigError(f"{url!r} is no store. Set RECSYS_STORE_URL to a directory or to s3://bucket/prefix.")
    return FileStore(Path(url))


@contextlib.contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` that takes its name on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
