"""What every HTTP client of the package asks for and refuses: bodies as they are, never compressed; and its log."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx

from recsys.errors import DataError

AS_IT_IS = {"Accept-Encoding": "identity"}  # the header of a request


def quiet_client(**options: Any) -> httpx.Client:
    """A client that does not log its requests: httpx logs each with its whole address, credentials included."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.Client(**options)


def plain_body(response: httpx.Response, chunk_bytes: int | None = None) -> Iterator[bytes]:
    """The bytes of a body as they come off the wire, so that limits count what was sent.

    Decoding comes before any limit: 403 bytes that were compressed twice become 286 MiB.

    Args:
        response: streamed, its body not read yet.
        chunk_bytes: size of the pieces; by default as they come.

    Raises:
        DataError: the body is compressed although it was asked for as it is.
    """
    encoding = response.headers.get("content-encoding", "")
    if any(name.strip().lower() not in {"", "identity"} for name in encoding.split(",")):
        raise DataError(
            f"{response.url} answered with Content-Encoding {encoding[:60]!r}, and only bodies that are not "
            "compressed are taken. Nothing was stored. Use another server, or fetch it by hand."
        )
    return response.iter_raw(chunk_bytes)
