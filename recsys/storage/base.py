"""An object store as eleven verbs, over a directory or over S3.

Create-only `put` is the one synchronisation primitive of the project: of any number of writers racing
for a key exactly one wins, the others get `AlreadyExistsError`. Both implementations pass one contract
test (tests/storage/test_store.py).
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError

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
