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
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise ConfigError(f"{url!r} names no bucket. Set RECSYS_STORE_URL to s3://bucket/prefix.")
        return S3Store(parts.netloc, parts.path)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.path)))
    if parts.scheme or not url:
        raise ConfigError(f"{url!r} is no store. Set RECSYS_STORE_URL to a directory or to s3://bucket/prefix.")
    return FileStore(Path(url))
