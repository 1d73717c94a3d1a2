"""An object store as eleven verbs, over a directory or over S3.

Create-only `put` is the one synchronisation primitive of the project: of any number of writers racing
for a key exactly one wins, the others get `AlreadyExistsError`. Both implementations pass one contract
test (tests/storage/test_store.py).
"""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError
from recsys.private_files import make_private_folder
from recsys.storage.os_errors import ABSENT, mapped_os_errors

# What file systems (a name) and S3 (a whole key, prefix included) allow.
_MAX_NAME_BYTES, _MAX_KEY_BYTES = 255, 900


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

    def exists(self, key: str) -> bool:
        try:
            self.size_bytes(key)
        except NotFoundError:
            return False
        return True

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
        raise ConfigError(f"{key!r} is no valid key: use a relative path without '..', '//' or a trailing '/'.")
    longest = max(len(part.encode()) for part in path.parts)
    if longest > _MAX_NAME_BYTES or len(key.encode()) > _MAX_KEY_BYTES:
        raise ConfigError(
            f"{key[:60]!r}… is no valid key: it has {len(key.encode()):,} bytes, the longest part {longest:,}; "
            f"{_MAX_KEY_BYTES} and {_MAX_NAME_BYTES} are allowed. Use shorter names."
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
        with self._reading(key) as path:
            return path.read_bytes()

    def get_file(self, key: str, path: Path) -> None:
        self.size_bytes(key)
        with complete_file(path) as temporary, self._reading(key) as source:
            shutil.copyfile(source, temporary)

    def size_bytes(self, key: str) -> int:
        return self._stat(key).st_size

    def modified_at(self, key: str) -> datetime:
        return datetime.fromtimestamp(self._stat(key).st_mtime, UTC)

    def list(self, prefix: str = "") -> Iterator[str]:
        # Only the deepest folder the prefix names is walked; the rest of the store is left alone.
        folder = self.root / check_prefix(prefix).rpartition("/")[0]
        keys = []
        with mapped_os_errors(f"{self.url}: {prefix or 'all keys'}"):
            for directory, folders, files in os.walk(folder, onerror=_refuse_partial_lists):
                folders[:] = [name for name in folders if name != self._TMP]
                keys += [(Path(directory) / name).relative_to(self.root).as_posix() for name in files]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        with contextlib.suppress(NotFoundError), self._reading(key) as path:
            path.unlink()

    def uri(self, key: str) -> str:
        return str(self._path(key))

    def open(self, key: str) -> BinaryIO:
        with self._reading(key) as path:
            return path.open("rb")

    def local_path(self, key: str) -> Path:
        return self._path(key)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _stat(self, key: str) -> os.stat_result:
        with self._reading(key) as path:
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise NotFoundError.key(key, self.url)
        return found

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        with mapped_os_errors(f"{self.url}: {key}"):
            try:
                yield self._path(key)
            except ABSENT as error:
                raise NotFoundError.key(key, self.url) from error

    @contextlib.contextmanager
    def _publishing(self, key: str, overwrite: bool) -> Iterator[Path]:
        target = self._path(key)
        temporary = self.root / self._TMP / uuid.uuid4().hex
        with mapped_os_errors(f"{self.url}: {key}"):
            self._make_folders(target)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield temporary
                if overwrite:
                    temporary.replace(target)
                else:
                    self._link(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def _make_folders(self, target: Path) -> None:
        try:
            make_private_folder(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigError(
                f"{target} cannot be written: a folder of its path is an object, or no folder. "
                "Nothing was written. Use another key, or another directory for the store."
            ) from error

    def _link(self, temporary: Path, target: Path) -> None:
        """Give a complete file its name: atomic, and refuses to replace."""
        try:
            target.hardlink_to(temporary)
        except FileExistsError as error:
            raise AlreadyExistsError.key(target.relative_to(self.root).as_posix(), self.url) from error
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
                raise
            raise ConfigError(
                f"{self.url}: the file system has no hard links ({error}), which create-only writes need. "
                "Nothing was written. Set RECSYS_STORE_URL to a directory elsewhere, or to s3://bucket/prefix."
            ) from error


def _refuse_partial_lists(error: OSError) -> None:
    """A folder that cannot be read must not look like an empty one; one that is gone is empty."""
    if not isinstance(error, ABSENT):
        raise error


def open_store(url: str) -> Store:
    """The store behind a URL: ``s3://bucket/prefix``, ``file:///path`` or a plain path.

    Raises:
        ConfigError: an unknown scheme, or an S3 URL without a bucket.
    """
    from recsys.storage.s3 import S3Store  # it builds on this module

    if (folder := local_folder(url)) is not None:
        return FileStore(folder)
    parts = urlsplit(url)
    if parts.scheme != "s3":
        raise ConfigError(f"{url!r} is no store. Set RECSYS_STORE_URL to a directory or to s3://bucket/prefix.")
    if not parts.netloc:
        raise ConfigError(f"{url!r} names no bucket. Set RECSYS_STORE_URL to s3://bucket/prefix.")
    return S3Store(parts.netloc, parts.path)


def local_folder(url: str) -> Path | None:
    """The folder of a store on this machine, from its URL; None of any other.

    >>> local_folder("/data/store"), local_folder("file:///my%20store"), local_folder("s3://movies/here")
    (PosixPath('/data/store'), PosixPath('/my store'), None)
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(url) if url and not parts.scheme else None


@contextlib.contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` that takes its name on success and vanishes on failure."""
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    with mapped_os_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
