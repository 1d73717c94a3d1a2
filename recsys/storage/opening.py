"""The store behind a URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from recsys.errors import ConfigError
from recsys.storage.base import Store
from recsys.storage.file_store import FileStore
from recsys.storage.s3_store import S3Store


def open_store(url: str) -> Store:
    """The store behind a URL: ``s3://bucket/prefix``, ``file:///path`` or a plain path.

    Raises:
        ConfigError: an unknown scheme, or an S3 URL without a bucket.
    """
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
