"""Archives from the network: verified, resumed, tried at several addresses, never trusted blindly.

Certificates are always verified. What may pass is tried again and continued where it broke off; what will
not pass (a missing page, a wrong digest, an expired certificate) moves on to the next address at once.
Only when every address has failed does the caller hear of it, with the reason of each.
"""

import json
import logging
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import tenacity

from recsys.datasets.archives import looks_like_html
from recsys.datasets.digests import file_digest
from recsys.errors import ConfigError, DataError, PermanentError, TransientError

log = logging.getLogger(__name__)

WAY_OUT = "Or fetch it by other means and name the file: DATASET=/path/to/archive.zip"

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently one address is tried."""

    n_attempts: int = 4
    first_wait_s: float = 1.0  # doubles with each attempt
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
class Downloaded:
    """An archive that arrived whole."""

    path: Path
    source: str
    sha256: str
    size_bytes: int
    validator: Validator


def download(
    addresses: Sequence[str],
    target: Path,
    *,
    md5: str | None = None,
    known: Validator | None = None,
    policy: Policy | None = None,
) -> Downloaded | None:
    """Fetch an archive from the first address that has it.

    Args:
        addresses: the publisher's first, then mirrors. Plain http is refused except to this machine.
        target: where the archive goes; a broken transfer stays beside it and is resumed by the next call.
        md5: the pinned digest, where there is one.
        known: identity of a copy already held; if the first address still has that one, nothing is fetched.
        policy: attempts, waits and time-outs.

    Returns:
        The archive, or None when `known` is still current.

    Raises:
        TransientError: no address could be reached or finished; a later run may succeed.
        DataError: an address answered, but with a web page or with other bytes than were pinned.
        PermanentError: an address refused for good (404, certificate).
    """
    policy = policy or Policy()
    failures: list[PermanentError | TransientError] = []
    limits = httpx.Timeout(policy.timeout_s)
    with httpx.Client(follow_redirects=True, timeout=limits, event_hooks={"request": [_refuse_plain_http]}) as client:
        for number, address in enumerate(addresses):
            transfer = _Transfer(client, address, target, md5, known if number == 0 else None, policy)
            try:
                return _persist(transfer, policy)
            except (PermanentError, TransientError) as error:
                log.warning("%s", error)
                failures.append(error)
    raise _summary(target.name, failures)


def _persist(transfer: "_Transfer", policy: Policy) -> Downloaded | None:
    """Try one address again while its faults are transient."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_attempt(policy.n_attempts),
        wait=tenacity.wait_exponential(multiplier=policy.first_wait_s, max=policy.longest_wait_s),
        before_sleep=lambda state: log.info("%s; attempt %d follows", _reason(state), state.attempt_number + 1),
        reraise=True,
    )
    return retrying(transfer.run)


def _reason(state: tenacity.RetryCallState) -> str:
    return str(state.outcome.exception()) if state.outcome else "no outcome"


def _summary(name: str, failures: list[PermanentError | TransientError]) -> PermanentError | TransientError:
    reasons = " | ".join(str(failure) for failure in failures)
    text = f"{name}: none of {len(failures)} addresses delivered it. {reasons} | Nothing was stored. "
    if any(isinstance(failure, TransientError) for failure in failures):
        return TransientError(f"{text}Check the network and run again. {WAY_OUT}")
    kinds = {type(failure) for failure in failures}
    kind = DataError if DataError in kinds else PermanentError
    return kind(f"{text}Trying again will not help. {WAY_OUT}")


class _Transfer:
    """One address, one file: each `run` goes on where the last one stopped."""

    def __init__(
        self,
        client: httpx.Client,
        address: str,
        target: Path,
        md5: str | None,
        known: Validator | None,
        policy: Policy,
    ) -> None:
        self._client = client
        self._address = address
        self._target = target
        self._md5 = md5
        self._known = known
        self._policy = policy
        self._part = target.with_name(f"{target.name}.part")
        self._notes = target.with_name(f"{target.name}.part.json")

    def run(self) -> Downloaded | None:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        offset, validator = self._resumable()
        try:
            with self._client.stream("GET", self._address, headers=self._headers(offset, validator)) as response:
                if response.status_code == httpx.codes.NOT_MODIFIED and self._known:
                    return None
                offset = self._check(response, offset)
                self._receive(response, offset)
                validator = Validator(response.headers.get("etag"), response.headers.get("last-modified"))
        except httpx.HTTPError as error:
            raise self._mapped(error) from error
        except httpx.InvalidURL as error:
            raise ConfigError(f"{self._address}: {error}. Nothing was fetched. Correct the address.") from error
        except OSError as error:
            raise PermanentError(
                f"{self._part} cannot be written: {error}. Free space or change the folder."
            ) from error
        return self._accept(validator)

    def _resumable(self) -> tuple[int, Validator]:
        """How much of the file is here, if what it is part of can be told; else start anew."""
        try:
            notes = json.loads(self._notes.read_text())
            validator = Validator(notes["etag"], notes["last_modified"])
            offset = self._part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return 0, Validator()
        # A pinned digest judges the whole in the end, so any mirror may continue it.
        is_same = self._md5 is not None or (notes.get("address") == self._address and validator.for_range)
        return (offset, validator) if is_same and offset else (0, Validator())

    def _headers(self, offset: int, validator: Validator) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "recsys (research data download)"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._md5 is None and validator.for_range:
                headers["If-Range"] = validator.for_range
        elif self._known:
            if self._known.etag:
                headers["If-None-Match"] = self._known.etag
            if self._known.last_modified:
                headers["If-Modified-Since"] = self._known.last_modified
        return headers

    def _check(self, response: httpx.Response, offset: int) -> int:
        """Where the body belongs in the file; raises for anything that is no archive."""
        status = response.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._forget()
            raise TransientError(f"{self._address}: the part held here does not fit; starting over")
        if status in _TRANSIENT_STATUS:
            raise TransientError(f"{self._address}: answered {status} {response.reason_phrase}")
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise PermanentError(f"{self._address}: answered {status} {response.reason_phrase}")
        if response.headers.get("content-type", "").lower().startswith("text/html"):
            raise DataError(f"{self._address}: answered with a web page in place of the archive")
        if status == httpx.codes.OK:
            return 0
        begins = response.headers.get("content-range", "").removeprefix("bytes ").split("-")[0]
        if begins != str(offset):
            self._forget()
            raise TransientError(f"{self._address}: continued at byte {begins or '?'} where {offset} was asked for")
        return offset

    def _receive(self, response: httpx.Response, offset: int) -> None:
        self._notes.write_text(
            json.dumps({
                "address": self._address,
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
            for piece in _with_progress(response.iter_raw(), self._target.name, offset, total, self._policy.progress_s):
                if file.tell() + len(piece) > self._policy.max_bytes:
                    raise DataError(f"{self._address}: sends more than {self._policy.max_bytes:,} bytes")
                file.write(piece)

    def _accept(self, validator: Validator) -> Downloaded:
        with self._part.open("rb") as file:
            is_page = looks_like_html(file.read(512))
        if is_page:
            self._forget()
            raise DataError(f"{self._address}: sent a web page in place of the archive")
        if self._md5 is not None and (actual := file_digest(self._part, "md5")) != self._md5:
            self._forget()
            raise DataError(f"{self._address}: sent bytes with MD5 {actual}, pinned is {self._md5}")
        self._part.replace(self._target)
        self._notes.unlink(missing_ok=True)
        size_bytes = self._target.stat().st_size
        log.info("%s: %.1f MB from %s", self._target.name, size_bytes / 1e6, self._address)
        return Downloaded(self._target, self._address, file_digest(self._target), size_bytes, validator)

    def _mapped(self, error: httpx.HTTPError) -> PermanentError | TransientError:
        if _is_certificate_fault(error):
            return PermanentError(
                f"{self._address}: its certificate cannot be verified ({error}); verification is never switched off"
            )
        if isinstance(error, httpx.UnsupportedProtocol | httpx.TooManyRedirects):
            return PermanentError(f"{self._address}: {error}")
        return TransientError(f"{self._address}: {type(error).__name__}: {error or 'no details'}")

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


def _refuse_plain_http(request: httpx.Request) -> None:
    """Called for every request, redirects included."""
    if request.url.scheme != "https" and request.url.host not in _LOOPBACK:
        raise httpx.UnsupportedProtocol(f"{request.url} is not https; unencrypted transfers are refused")


def _is_certificate_fault(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


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
