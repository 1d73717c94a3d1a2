"""The client: every address is checked before it is asked, and httpx's errors become this package's.

::

    no answer, a connection that breaks                BusyError
    a certificate that cannot be verified              PermanentError; verification is never switched off
    too many redirects                                 PermanentError
    what is no address, or one of another protocol     DataError

Their messages name the fact; the caller adds the state and the next step.
"""

import contextlib
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx

from recsys.errors import DataError, PermanentError, RecsysError
from recsys.http.retrying import BusyError

Check = Callable[[str], None]


class HttpClient:
    """GETs, whose redirects are followed; use as a context manager. One instance serves many threads.

    Args:
        user_agent: who we are.
        check: called with each address before it is asked, those of redirects included; it raises to refuse.
        timeout_s: to connect, and for each read.
        n_redirects: followed at most.
        max_connections: requests under way at once.
        trust_env: whether proxies that the environment names are used.
    """

    def __init__(
        self,
        user_agent: str,
        check: Check,
        timeout_s: float,
        n_redirects: int,
        *,
        max_connections: int = 4,
        trust_env: bool = True,
    ) -> None:
        # httpx logs each request with its whole address, credentials included.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._check, self._n_redirects = check, n_redirects
        self._client = httpx.Client(
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=max_connections),
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            trust_env=trust_env,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @contextlib.contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str] | None = None, admit: Check | None = None
    ) -> Iterator[httpx.Response]:
        """The answer at the end of redirects, its body not read yet; those of redirects, which may be endless, never.

        Args:
            url: where it is.
            headers: of each request, but for ``Authorization``, which only the first host gets.
            admit: called after the check, with the same address; it may wait, or raise.
        """
        address = url
        try:
            request = self._client.build_request("GET", url, headers=headers)
            for _ in range(self._n_redirects + 1):
                address = str(request.url)
                self._check(address)
                if admit:
                    admit(address)
                with contextlib.closing(self._client.send(request, stream=True)) as response:
                    if response.next_request is None:
                        yield response
                        return
                    request = response.next_request
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise _mapped(address, error) from error
        raise PermanentError(f"{url} redirects more than {self._n_redirects} times")


def _mapped(address: str, error: Exception) -> RecsysError:
    reason = f"{type(error).__name__}: {str(error) or 'no details'}"
    if _is_certificate_fault(error):
        return PermanentError(
            f"{address}: its certificate cannot be verified ({reason}); verification is never switched off"
        )
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError):
        return DataError(f"{address} is no address to fetch from ({reason})")
    return BusyError(f"{address} cannot be read: {reason}")


def _is_certificate_fault(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
