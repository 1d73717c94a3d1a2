"""The object store over S3: any endpoint that honours create-only writes, through boto3.

botocore repeats a request whose answer was lost. A create-only write that took effect the first time then meets its
own object. Each such write therefore carries a mark of its own in the object's metadata, by which it is recognised.
"""

import contextlib
import io
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import tenacity

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, RecsysError, TransientError
from recsys.redaction import redacted
from recsys.storage.base import Store, check_key, check_prefix
from recsys.storage.os_errors import complete_file, mapped_os_errors
from recsys.storage.ranged import RangedReader

_WRITER = "recsys-writer"  # metadata of an object: which write made it
_MAX_PUT_BYTES = 5 << 30  # S3's own limit of one request

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_TAKEN = frozenset({"412", "PreconditionFailed"})
_CONFLICT = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
# Faults that pass although their status alone does not say so.
_PASSING = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "IncompleteBody", "BadDigest"})

# An answer to HEAD has no body: the status is all it says.
_HINTS = {
    "403": " Without the permission s3:ListBucket a missing object is answered so too.",
    "400": " Expired credentials are answered so too: renew them.",
}


class _ConflictError(TransientError):
    """Another write of the same key is under way, and it is not yet decided which one counts."""


class _BrokenBodyError(TransientError):
    """A body that ended early or does not have its checksum."""


def _repeating(kind: type[RecsysError]) -> tenacity.Retrying:
    """What botocore does not repeat by itself; five attempts within some seconds."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(kind),
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=3),
        reraise=True,
    )


class S3Store(Store):
    """Objects in a bucket, through boto3. Endpoint, region and keys come from the AWS_* environment."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.url = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}  # clients do not travel to Spark workers

    @property
    def client(self) -> Any:
        if self._client is None:
            import boto3
            from botocore.config import Config

            self._client = boto3.client("s3", config=Config(retries={"max_attempts": 5, "mode": "standard"}))
        return self._client

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        self._put(key, data, overwrite)

    def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> None:
        with mapped_os_errors(str(path)):
            size_bytes = path.stat().st_size
        if size_bytes > _MAX_PUT_BYTES:
            raise ConfigError(
                f"{path} has {size_bytes:,} bytes, and S3 takes {_MAX_PUT_BYTES:,} in one write. "
                "Nothing was written. Split or compress the file, or use a directory as the store."
            )
        self._put(key, path, overwrite)

    def get(self, key: str) -> bytes:
        return self._read(key)

    def get_file(self, key: str, path: Path) -> None:
        with complete_file(path) as temporary, self._mapped(key):
            self.client.download_file(self.bucket, self._key(key), str(temporary))

    def size_bytes(self, key: str) -> int:
        return int(self._head(key)["ContentLength"])

    def modified_at(self, key: str) -> datetime:
        written: datetime = self._head(key)["LastModified"]
        return written

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        with self._mapped(prefix or "its list of keys"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                yield from (item["Key"][len(self.prefix) :] for item in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        with self._mapped(key):
            self.client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def open(self, key: str) -> BinaryIO:
        def fetch(first: int, last: int) -> bytes:
            return self._read(key, Range=f"bytes={first}-{last}")

        return io.BufferedReader(RangedReader(fetch, self.size_bytes(key)), 256 * 1024)

    def _key(self, key: str) -> str:
        return self.prefix + check_key(key)

    def _put(self, key: str, body: bytes | Path, overwrite: bool) -> None:
        if overwrite:
            _repeating(_ConflictError)(self._send, key, body)
        else:
            _repeating(_ConflictError)(self._create, key, body, uuid.uuid4().hex)

    def _create(self, key: str, body: bytes | Path, writer: str) -> None:
        try:
            self._send(key, body, IfNoneMatch="*", Metadata={_WRITER: writer})
        except (AlreadyExistsError, TransientError):
            # An attempt whose answer was lost may have written it.
            if self._writer(key) != writer:
                raise

    def _send(self, key: str, body: bytes | Path, **options: Any) -> None:
        with contextlib.ExitStack() as stack, self._mapped(key):
            content: bytes | BinaryIO = stack.enter_context(body.open("rb")) if isinstance(body, Path) else body
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=content, **options)

    def _writer(self, key: str) -> str | None:
        """Which write made an object; None where there is none, or a server that keeps no metadata."""
        try:
            metadata: dict[str, str] = self._head(key)["Metadata"]
        except NotFoundError:
            return None
        # Servers written in Go spell names with capitals.
        return {name.lower(): value for name, value in metadata.items()}.get(_WRITER)

    def _head(self, key: str) -> dict[str, Any]:
        with self._mapped(key):
            return dict(self.client.head_object(Bucket=self.bucket, Key=self._key(key)))

    def _read(self, key: str, **options: Any) -> bytes:
        return _repeating(_BrokenBodyError)(self._read_once, key, options)

    def _read_once(self, key: str, options: dict[str, Any]) -> bytes:
        with self._mapped(key):
            return bytes(self.client.get_object(Bucket=self.bucket, Key=self._key(key), **options)["Body"].read())

    @contextlib.contextmanager
    def _mapped(self, key: str) -> Iterator[None]:
        """Turn botocore's and boto3's errors into ours, once."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._refusal(key, error) from redacted(error)
        except (BotoCoreError, Boto3Error) as error:
            raise self._fault(key, error) from redacted(error)

    def _refusal(self, key: str, error: Any) -> RecsysError:
        """What an answer that is no success means."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _ABSENT:
            return NotFoundError.key(key, self.url)
        if code in _TAKEN:
            return AlreadyExistsError.key(key, self.url)
        if code in _CONFLICT:
            return _ConflictError(f"{self.url} is at work on another write of {key} ({code}). Run the step again.")
        if code in _EXPIRED:
            self._client = None  # the next request looks for newer ones
            return TransientError(
                f"{self.url} answered {code} for {key}: the AWS_* credentials have expired. Renew them, and run again."
            )
        if code in _PASSING or status in {408, 429} or (status >= 500 and status != 501):
            return TransientError(f"{self.url} answered {code} for {key}. It will be tried again.")
        hint = _HINTS.get(code, "")
        return ConfigError(f"{self.url} refused {key}: {error}. Check bucket, keys and endpoint.{hint}")

    def _fault(self, key: str, error: Exception) -> RecsysError:
        """What it means that there is no answer, or no whole one."""
        from boto3.exceptions import RetriesExceededError
        from botocore import exceptions as boto

        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ConfigError(f"{self.url}: {error}. Name its authority in AWS_CA_BUNDLE; it is always verified.")
        broken = (boto.IncompleteReadError, boto.ResponseStreamingError, boto.ChecksumError, boto.FlexibleChecksumError)
        if isinstance(error, (*broken, RetriesExceededError)):
            return _BrokenBodyError(f"{self.url} did not send {key} whole: {error}. Run the step again.")
        away = (boto.ConnectionError, boto.HTTPClientError, boto.CredentialRetrievalError, boto.MetadataRetrievalError)
        if isinstance(error, away):
            return TransientError(f"{self.url} cannot be reached for {key}: {error}. Run the step again.")
        return ConfigError(f"{self.url}: {error}. Set AWS_ENDPOINT_URL_S3 and the AWS_* credentials.")
