"""Faults that may pass, and how often and after what pause something is tried again."""

import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from recsys.errors import TransientError

log = logging.getLogger(__name__)

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class BusyError(TransientError):
    """A server that may answer another time; its message names the fact, the caller adds the state and next step."""

    retry_after_s: float | None = None


def refuse_busy(response: httpx.Response) -> None:
    """Raise `BusyError`, with the pause that the server asks for, if an answer's status may pass."""
    if response.status_code in _BUSY:
        pause_s = retry_after_s(response.headers.get("retry-after"))
        asked = "" if pause_s is None else f" and asked to wait {pause_s:g} s"
        error = BusyError(f"{response.url} answered {response.status_code}{asked}")
        error.retry_after_s = pause_s
        raise error


def retrying(
    kinds: tuple[type[Exception], ...], n_attempts: int, first_wait_s: float, longest_wait_s: float
) -> Retrying:
    """Calls a function again after an error of these kinds; the last error is raised as it is.

    The pause is what the server asks for. Otherwise it is drawn, so that clients do not come back all at once, up to
    a limit that doubles with each attempt.

    Args:
        kinds: of errors that may pass.
        n_attempts: calls in all.
        first_wait_s: limit of the first pause.
        longest_wait_s: of any pause. A server that asks for a longer one is not asked again.
    """
    drawn = wait_random_exponential(multiplier=first_wait_s, max=longest_wait_s)

    def pause_s(state: RetryCallState) -> float:
        asked = _asked_pause_s(state.outcome.exception() if state.outcome else None)
        return drawn(state) if asked is None else asked

    def may_pass(error: BaseException) -> bool:
        return isinstance(error, kinds) and (_asked_pause_s(error) or 0) <= longest_wait_s

    def say(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        log.info("%s; attempt %d follows", reason, state.attempt_number + 1)

    return Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(n_attempts),
        wait=pause_s,
        before_sleep=say,
        reraise=True,
    )


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


def _asked_pause_s(error: BaseException | None) -> float | None:
    return error.retry_after_s if isinstance(error, BusyError) else None
