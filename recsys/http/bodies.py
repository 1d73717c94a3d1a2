"""Bodies as they come off the wire: never decoded, and no larger than allowed."""

import time
from collections.abc import Iterator

import httpx

from recsys.errors import DataError
from recsys.http.retrying import BusyError


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


def read_body(response: httpx.Response, max_bytes: int, within_s: float) -> bytes:
    """A whole body.

    Args:
        response: streamed, its body not read yet.
        max_bytes: a larger body is refused, by what is announced and by what comes.
        within_s: for all of it, however quickly each piece follows the one before.

    Raises:
        DataError: the body is too large, or compressed.
        BusyError: it did not come in time.
    """
    deadline = time.monotonic() + within_s
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise DataError(
            f"{response.url} announces {int(announced):,} bytes, {max_bytes:,} allowed. Nothing was stored."
        )
    body = bytearray()
    for piece in plain_body(response):
        body += piece
        if len(body) > max_bytes:
            raise DataError(f"{response.url} sends more than the {max_bytes:,} bytes allowed. Nothing was stored.")
        if time.monotonic() > deadline:
            raise BusyError(f"{response.url} sends too slowly: not all in {within_s:g} s")
    return bytes(body)
