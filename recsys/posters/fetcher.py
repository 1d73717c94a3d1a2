"""The client for posters: it asks named hosts only, and tries again what may pass."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from recsys import __version__
from recsys.errors import ConfigError, NotFoundError, PermanentError
from recsys.http.bodies import read_body
from recsys.http.http_client import HttpClient
from recsys.http.origins import is_this_machine, origin_of
from recsys.http.retrying import BusyError, refuse_busy, retrying

USER_AGENT = f"recsys-poster-fetcher/{__version__}"

_N_REDIRECTS = 5
_FIRST_WAIT_S = 0.5
_GONE = frozenset({404, 410})
_REFUSED = frozenset({401, 403, 407, 451})


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
        timeout_s: for connecting and for each read; a whole body may take six times as long.
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
        self._client = HttpClient(
            USER_AGENT,
            self._check_address,
            timeout_s,
            _N_REDIRECTS,
            max_connections=max_connections,
            # A proxy for the outer world cannot reach a server on this machine.
            trust_env=not all(map(is_this_machine, self._allowed)),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.__exit__(kind, error, trace)

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
            headers: as of `HttpClient.stream`.
            admit: called with each address before it is asked, those of redirects and repeats included; it may wait,
                or raise.

        Raises:
            NotFoundError: the server says there is nothing (404, 410).
            ConfigError: it refuses us (401, 403), or redirects to a host that is not allowed.
            DataError: the body is larger than `max_bytes` or compressed, or an address is none.
            TransientError: it failed after every attempt, or was too slow.
        """
        # Not after any other error: a host whose robots.txt could not be read was asked several times for that.
        attempts = retrying((BusyError,), self._n_attempts, _FIRST_WAIT_S, self._max_wait_s)
        return attempts(self._get_once, url, max_bytes, headers, admit)

    def _get_once(
        self, url: str, max_bytes: int, headers: dict[str, str] | None, admit: Callable[[str], None] | None
    ) -> Answer:
        with self._client.stream(url, headers, admit) as response:
            _check_status(response)
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Answer(str(response.url), content_type, read_body(response, max_bytes, 6 * self._timeout_s))

    def _check_address(self, url: str) -> None:
        if origin_of(url) not in self._allowed:
            raise ConfigError(
                f"{url} is not fetched: only {', '.join(sorted(self._allowed))} may be asked. "
                "Nothing was stored. Check the address of the poster site."
            )


def _check_status(response: httpx.Response) -> None:
    refuse_busy(response)
    status, url = response.status_code, response.url
    if status in _GONE:
        raise NotFoundError(f"{url} answered {status}: there is nothing.")
    if status in _REFUSED:
        raise ConfigError(f"{url} answered {status}: it refuses us. Nothing was stored. Check token and terms of use.")
    if status != httpx.codes.OK:
        raise PermanentError(f"{url} answered {status}, 200 expected. Nothing was stored. Look at the page by hand.")


def _is_plain_http(origin: str) -> bool:
    return origin.startswith("http://") and origin.endswith(":80")
