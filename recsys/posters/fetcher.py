"""A careful HTTP client: it says who it is, waits when told to, and takes no more than it was promised."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from recsys import __version__
from recsys.errors import ConfigError, DataError, NotFoundError, PermanentError, TransientError
from recsys.http import AS_IT_IS, plain_body, quiet_client

USER_AGENT = f"recsys-poster-fetcher/{__version__}"

_N_REDIRECTS = 5
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
_REFUSED = frozenset({401, 403, 407, 451})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class BusyError(TransientError):
    """A server that may answer another time."""

    retry_after_s: float | None = None

    @classmethod
    def said(cls, url: str, status: int, retry_after_s: float | None) -> "BusyError":
        told = "" if retry_after_s is None else f" and asked to wait {retry_after_s:g} s"
        error = cls(f"{url} answered {status}{told}. Nothing was stored. Run the step again later.")
        error.retry_after_s = retry_after_s
        return error


@dataclass(frozen=True)
class Answer:
    """A body, whole and within its limit."""

    url: str
    content_type: str
    body: bytes


class Fetcher:
    """GETs from named hosts only; use as a context manager. One instance serves many threads.

    Args:
        allowed: addresses whose hosts may be asked, "https://example.org"; redirects to any other are refused,
            except from http to https on the same host.
        timeout_s: for connecting and for each read; a whole answer may take six times as long.
        max_connections: requests under way at once.
        n_attempts: tries per request, for faults that may pass only.
        max_wait_s: longest pause between tries; a server that asks for more is asked another day.
    """

    def __init__(
        self,
        allowed: Iterable[str],
        timeout_s: float,
        max_connections: int = 4,
        n_attempts: int = 4,
        max_wait_s: float = 30.0,
    ) -> None:
        origins = {origin_of(url) for url in allowed}
        self._allowed = origins | {f"https://{host[7:-3]}:443" for host in origins if _is_plain_http(host)}
        self._timeout_s, self._n_attempts, self._max_wait_s = timeout_s, n_attempts, max_wait_s
        self._pause = wait_random_exponential(multiplier=0.5, max=max_wait_s)
        # A proxy for the outer world cannot reach a server on this machine.
        is_near = all(urlsplit(origin).hostname in _LOOPBACK for origin in self._allowed)
        self._client = quiet_client(
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=max_connections),
            headers={"User-Agent": USER_AGENT, **AS_IT_IS},
            trust_env=not is_near,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(
        self,
        url: str,
        max_bytes: int,
        headers: dict[str, str] | None = None,
        admit: Callable[[str], None] | None = None,
    ) -> Answer:
        """The body behind an address.

        Args:
            url: where it is.
            max_bytes: a larger body is refused.
            headers: for its own host only, not for where it redirects.
            admit: called with each address before it is asked, those of redirects and repeats included; it may wait,
                or raise.

        Raises:
            NotFoundError: the server says there is nothing (404, 410).
            ConfigError: it refuses us (401, 403), or redirects to a host that is not allowed.
            DataError: the body is larger than `max_bytes`, compressed, or not what HTTP promises.
            TransientError: it failed after every attempt, or was too slow.
        """
        attempts = Retrying(
            retry=retry_if_exception(self._may_pass),
            stop=stop_after_attempt(self._n_attempts),
            wait=self._wait,
            reraise=True,
        )
        return attempts(self._get_once, url, max_bytes, headers or {}, admit)

    def _get_once(
        self, url: str, max_bytes: int, headers: dict[str, str], admit: Callable[[str], None] | None
    ) -> Answer:
        address = url
        try:
            for _ in range(_N_REDIRECTS + 1):
                self._check_address(address)
                if admit:
                    admit(address)
                deadline = time.monotonic() + 6 * self._timeout_s
                own = headers if origin_of(address) == origin_of(url) else {}
                with self._client.stream("GET", address, headers=own) as response:
                    if not response.has_redirect_location:
                        _check_status(response)
                        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                        return Answer(address, content_type, _read(response, max_bytes, deadline))
                    address = urljoin(address, response.headers["location"])
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise DataError(f"{address}: {error}. Nothing was stored. Look at the page by hand.") from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise BusyError(f"{address} cannot be read: {reason}. Nothing was stored. Run the step again.") from error
        raise PermanentError(f"{url} redirects more than {_N_REDIRECTS} times. Nothing was stored. Check the address.")

    def _check_address(self, url: str) -> None:
        if origin_of(url) not in self._allowed:
            raise ConfigError(
                f"{url} is not fetched: only {', '.join(sorted(self._allowed))} may be asked. "
                "Nothing was stored. Check the address of the poster site."
            )

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, BusyError) and (error.retry_after_s or 0) <= self._max_wait_s

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.retry_after_s if isinstance(error, BusyError) else None
        return self._pause(state) if told is None else told


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """The pause a Retry-After header asks for, as seconds or as a date; None where it says neither.

    >>> retry_after_s("7"), retry_after_s("soon"), retry_after_s(None)
    (7.0, None, None)
    >>> retry_after_s("Wed, 21 Oct 2026 07:28:30 GMT", datetime(2026, 10, 21, 7, 28, tzinfo=UTC))
    30.0
    """
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return None


def _check_status(response: httpx.Response) -> None:
    status, url = response.status_code, response.url
    if status in _BUSY:
        raise BusyError.said(str(url), status, retry_after_s(response.headers.get("retry-after")))
    if status in _GONE:
        raise NotFoundError(f"{url} answered {status}: there is nothing.")
    if status in _REFUSED:
        raise ConfigError(f"{url} answered {status}: it refuses us. Nothing was stored. Check token and terms of use.")
    if status != httpx.codes.OK:
        raise PermanentError(f"{url} answered {status}, 200 expected. Nothing was stored. Look at the page by hand.")


def _read(response: httpx.Response, max_bytes: int, deadline: float) -> bytes:
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise DataError(
            f"{response.url} announces {int(announced):,} bytes, {max_bytes:,} allowed. Nothing was stored."
        )
    body = bytearray()
    for chunk in plain_body(response):
        body += chunk
        if len(body) > max_bytes:
            raise DataError(f"{response.url} sends more than the {max_bytes:,} bytes allowed. Nothing was stored.")
        if time.monotonic() > deadline:
            raise BusyError(f"{response.url} sends too slowly. Nothing was stored. Run the step again later.")
    return bytes(body)


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, the port written out.

    >>> origin_of("https://user@Example.org/a"), origin_of("http://[::1]:8600/")
    ('https://example.org:443', 'http://[::1]:8600')
    """
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def _is_plain_http(origin: str) -> bool:
    return origin.startswith("http://") and origin.endswith(":80")
