"""The object store over S3: any endpoint that honours create-only writes, through boto3."""

import contextlib
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, TransientError
from recsys.storage.ranged import RangedReader
from recsys.storage.store import Store, check_key, check_prefix, complete_file


class S3Store(Store):
    """Objects in a bucket, through boto3. Endpoint, region and keys come from the AWS_* environment."""

    _RETRYABLE = frozenset(
        {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "500", "502", "503", "504"}
    )

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
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        with self._mapped(key):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, **condition)

    def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> None:
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        with self._mapped(key), path.open("rb") as file:
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=file, **condition)

    def get(self, key: str) -> bytes:
        with self._mapped(key):
            return bytes(self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read())

    def get_file(self, key: str, path: Path) -> None:
        with self._mapped(key), complete_file(path) as temporary:
            self.client.download_file(self.bucket, self._key(key), str(temporary))

    def exists(self, key: str) -> bool:
        try:
            self.size_bytes(key)
        except NotFoundError:
            return False
        return True

    def size_bytes(self, key: str) -> int:
        with self._mapped(key):
            return int(self.client.head_object(Bucket=self.bucket, Key=self._key(key))["ContentLength"])

    def modified_at(self, key: str) -> datetime:
        with self._mapped(key):
            written: datetime = self.client.head_object(Bucket=self.bucket, Key=self._key(key))["LastModified"]
        return written

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        with self._mapped(prefix):
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
            with self._mapped(key):
                answer = self.client.get_object(Bucket=self.bucket, Key=self._key(key), Range=f"bytes={first}-{last}")
                return bytes(answer["Body"].read())

        return io.BufferedReader(RangedReader(fetch, self.size_bytes(key)), 256 * 1024)

    def _key(self, key: str) -> str:
        return self.prefix + check_key(key)

    @contextlib.contextmanager
    def _mapped(self, key: str) -> Iterator[None]:
        """Turn botocore's errors into ours, once."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as BotoConnectionError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in {"404", "NoSuchKey", "NotFound"}:
                raise NotFoundError.key(key, self.url) from error
            if code in {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}:
                raise AlreadyExistsError.key(key, self.url) from error
            if code in self._RETRYABLE:
                raise TransientError(f"{self.url} answered {code} for {key}. It will be tried again.") from error
            raise ConfigError(f"{self.url} refused {key}: {error}. Check bucket, keys and endpoint.") from error
        except (BotoConnectionError, HTTPClientError) as error:
            raise TransientError(f"{self.url} cannot be reached for {key}: {error}") from error
        except BotoCoreError as error:
            raise ConfigError(f"{self.url}: {error}. Set AWS_ENDPOINT_URL_S3 and the AWS_* credentials.") from error
