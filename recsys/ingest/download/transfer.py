"""One archive from one address: verified, resumed where it broke off, never trusted blindly.

Certificates are always verified, and unencrypted transfers are refused, by redirect too. A digest is asked of the
bytes wherever there is one: the pinned one of a frozen release, else what the server keeps beside the archive.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from recsys.errors import DataError, PermanentError, TransientError
from recsys.http.bodies import plain_body
from recsys.http.http_client import HttpClient
from recsys.http.origins import is_this_machine
from recsys.http.retrying import refuse_busy
from recsys.ingest.archives.members import looks_like_html, read_head
from recsys.ingest.download.digests import file_digest, sidecar_md5
from recsys.redaction import redact_addresses
from recsys.storage.os_errors import mapped_os_errors

log = logging.getLogger(__name__)

_SIGN_IN_STATUS = frozenset({401, 403})
_MAX_SIDECAR_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently one address is tried."""

    n_attempts: int = 4
    first_wait_s: float = 1.0  # at most; doubles with each attempt
    longest_wait_s: float = 30.0
    timeout_s: float = 30.0  # to connect, and between two pieces of the body
    max_bytes: int = 8 << 30
    progress_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Validator:
    """What a server said of an archive's identity, to ask later whether it is still the same."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def for_range(self) -> str | None:
        """The strongest word for If-Range; weak ETags promise no equal bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


@dataclass(frozen=True, slots=True)
class Held:
    """A copy that is here already: its address, what the server there said of it, and its MD5 sum."""

    address: str
    validator: Validator
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """An archive that arrived whole; `verified_by` says what its bytes were compared with."""

    path: Path
    source: str
    sha256: str
    md5: str
    size_bytes: int
    validator: Validator
    verified_by: str


class WrongSumError(DataError):
    """The bytes are not those of the sum, but may be at the next attempt: they were patched together or replaced."""


class Transfer:
    """One address, one file: each `run` goes on where the last one stopped."""

    def __init__(
        self,
        client: HttpClient,
        address: str,
        target: Path,
        md5: str | None,
        held: Held | None,
        policy: Policy,
    ) -> None:
        self._client = client
        self._address = address
        self._shown = redact_addresses(address)  # in messages and notes, and to compare with notes
        self._target = target
        self._md5 = md5
        self._held = held
        self._policy = policy
        self._part = target.with_name(f"{target.name}.part")
        self._notes = target.with_name(f"{target.name}.part.json")

    def run(self) -> Downloaded | None:
        with mapped_os_errors(str(self._part)):
            return self._run()

    def _run(self) -> Downloaded | None:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        offset, validator = self._resumable()
        with self._client.stream(self._address, self._headers(offset, validator)) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED and self._held:
                return None
            offset = self._check(response, offset)
            md5 = self._md5 or self._sidecar()
            if self._held and md5 is not None and md5 == self._held.md5:
                log.info("%s: by its MD5 sum the one that is held", self._target.name)
                return None
            self._receive(response, offset)
            validator = Validator(response.headers.get("etag"), response.headers.get("last-modified"))
        return self._accept(validator, md5, was_resumed=offset > 0)

    def _resumable(self) -> tuple[int, Validator]:
        """How much of the file is here, if what it is part of can be told; else start anew."""
        try:
            notes = json.loads(self._notes.read_text())
            validator = Validator(notes["etag"], notes["last_modified"])
            offset = self._part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return 0, Validator()
        # A pinned digest judges the whole in the end, so any mirror may continue it.
        is_same = self._md5 is not None or (notes.get("address") == self._shown and validator.for_range)
        return (offset, validator) if is_same and offset else (0, Validator())

    def _headers(self, offset: int, validator: Validator) -> dict[str, str]:
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._md5 is None and validator.for_range:
                headers["If-Range"] = validator.for_range
        elif self._held and redact_addresses(self._held.address) == self._shown:
            if self._held.validator.etag:
                headers["If-None-Match"] = self._held.validator.etag
            if self._held.validator.last_modified:
                headers["If-Modified-Since"] = self._held.validator.last_modified
        return headers

    def _check(self, response: httpx.Response, offset: int) -> int:
        """Where the body belongs in the file; raises for anything that is no archive."""
        status = response.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._forget()
            raise TransientError(f"{self._shown}: the part held here does not fit; starting over")
        refuse_busy(response)
        if status in _SIGN_IN_STATUS:
            raise PermanentError(
                f"{self._shown}: answered {status} {response.reason_phrase}; it may give the archive only to people "
                "who are signed in: download it with a browser and give the file"
            )
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise PermanentError(f"{self._shown}: answered {status} {response.reason_phrase}")
        if response.headers.get("content-type", "").lower().startswith("text/html"):
            raise DataError(f"{self._shown}: answered with a web page in place of the archive")
        if status == httpx.codes.OK:
            return 0
        begins = response.headers.get("content-range", "").removeprefix("bytes ").split("-")[0]
        if begins != str(offset):
            self._forget()
            raise TransientError(f"{self._shown}: continued at byte {begins or '?'} where {offset} was asked for")
        return offset

    def _sidecar(self) -> str | None:
        """The MD5 sum that the server keeps beside the archive, where it keeps one."""
        url = httpx.URL(self._address)
        url = url.copy_with(path=f"{url.path}.md5")
        md5 = None
        with self._client.stream(str(url)) as response:
            refuse_busy(response)
            if response.is_success:
                head = next(plain_body(response, _MAX_SIDECAR_BYTES), b"")
                md5 = sidecar_md5(head.decode(errors="replace"), PurePosixPath(url.path).stem)
        if md5 is None:
            address, status = redact_addresses(str(url)), response.status_code
            log.info("%s: no MD5 sum at %s (%d), so none is compared", self._target.name, address, status)
        return md5

    def _receive(self, response: httpx.Response, offset: int) -> None:
        pieces = plain_body(response)
        self._notes.write_text(
            json.dumps({
                "address": self._shown,
                "etag": response.headers.get("etag"),
                "last_modified": response.headers.get("last-modified"),
            })
        )  # fmt: skip
        length = response.headers.get("content-length")
        total = offset + int(length) if length and length.isdecimal() else None
        if offset:
            log.info("%s: resuming at %.1f MB", self._target.name, offset / 1e6)
        with self._part.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.truncate()
            for piece in _with_progress(pieces, self._target.name, offset, total, self._policy.progress_s):
                if file.tell() + len(piece) > self._policy.max_bytes:
                    self._forget()
                    raise DataError(f"{self._shown}: sends more than {self._policy.max_bytes:,} bytes")
                file.write(piece)

    def _accept(self, validator: Validator, md5: str | None, *, was_resumed: bool) -> Downloaded:
        if looks_like_html(read_head(self._part)):
            self._forget()
            raise DataError(f"{self._shown}: sent a web page in place of the archive")
        actual = file_digest(self._part, "md5")
        if md5 is not None and actual != md5:
            self._forget()
            text = f"{self._shown}: sent bytes with MD5 {actual}, {'pinned' if self._md5 else 'its sidecar'} is {md5}"
            raise WrongSumError(text) if was_resumed or not self._md5 else DataError(text)
        self._part.replace(self._target)
        self._notes.unlink(missing_ok=True)
        size_bytes = self._target.stat().st_size
        verified_by = "the pinned MD5 sum" if self._md5 else "the MD5 sum beside it" if md5 else "nothing"
        log.info("%s: %.1f MB from %s, verified by %s", self._target.name, size_bytes / 1e6, self._shown, verified_by)
        sha256 = file_digest(self._target)
        return Downloaded(self._target, self._shown, sha256, actual, size_bytes, validator, verified_by)

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


def refuse_plain_http(address: str) -> None:
    """The check of addresses before they are asked, those of redirects included."""
    if urlsplit(address).scheme != "https" and not is_this_machine(address):
        raise PermanentError(f"{address} is not https; unencrypted transfers are refused")


def _with_progress(
    pieces: Iterable[bytes],
    name: str,
    offset: int,
    total: int | None,
    every_s: float,
) -> Iterator[bytes]:
    """Pass the pieces on, and say every few seconds how far they are and how fast they come."""
    started = said = time.monotonic()
    received = 0
    for piece in pieces:
        yield piece
        received += len(piece)
        if time.monotonic() - said >= every_s:
            said = time.monotonic()
            speed = received / 1e6 / max(said - started, 1e-9)
            done = f"{100 * (offset + received) / total:.0f} % of {total / 1e6:.1f} MB" if total else "size unknown"
            log.info("%s: %.1f MB, %s, at %.1f MB/s", name, (offset + received) / 1e6, done, speed)
