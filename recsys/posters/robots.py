"""What the robots.txt of each host allows, and how fast it may be asked."""

import logging
import math
import re
import time
from threading import Lock
from urllib.robotparser import RobotFileParser

from recsys.errors import ConfigError, NotFoundError, TransientError
from recsys.http.origins import origin_of
from recsys.http.retrying import BusyError
from recsys.posters.fetcher import USER_AGENT, Fetcher

log = logging.getLogger(__name__)

_MAX_BYTES = 2_000_000
_MAX_DELAY_S = 60.0
_DELAY = re.compile(r"^(\s*crawl-delay\s*:\s*)(\d*\.\d+)", re.IGNORECASE | re.MULTILINE)


class Robots:
    """Reads each host's rules once; serves many threads.

    Args:
        fetcher: allowed to ask those hosts.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher, self._lock = fetcher, Lock()
        self._rules: dict[str, RobotFileParser] = {}
        self._free_at: dict[str, float] = {}

    def admit(self, url: str) -> None:
        """Return when a request of `url` may be sent: at once, or after the pause that its host asks for.

        Raises:
            ConfigError: the host closes it to robots, or asks for a pause of more than a minute.
            TransientError: the rules cannot be read now.
        """
        origin = origin_of(url)
        with self._lock:  # one question for all threads
            if origin not in self._rules:
                self._rules[origin] = self._read(origin)
                self._free_at[origin] = time.monotonic() + _delay_s(self._rules[origin])
            rules = self._rules[origin]
            delay_s = _delay_s(rules)
            if not rules.can_fetch(USER_AGENT, url):
                raise ConfigError(f"{url} is closed to robots by {origin}/robots.txt. Nothing was stored.")
            if delay_s > _MAX_DELAY_S:
                raise ConfigError(
                    f"{origin}/robots.txt asks for {delay_s:,g} s between requests, at most {_MAX_DELAY_S:g} are "
                    "waited. Nothing was stored. Set RECSYS_TMDB_TOKEN, or another RECSYS_POSTER_SITE_URL."
                )
            now = time.monotonic()
            starts_at = max(now, self._free_at[origin])
            self._free_at[origin] = starts_at + delay_s
        time.sleep(starts_at - now)

    def _read(self, origin: str) -> RobotFileParser:
        try:
            text = self._fetcher.get(f"{origin}/robots.txt", _MAX_BYTES).body.decode("utf-8-sig", "replace")
        except NotFoundError:
            text = ""  # no rules: everything is open
        except BusyError as error:  # it was tried several times: the request that asked for it does not try again
            raise TransientError(f"without its robots.txt {origin} is not asked: {error}") from error
        rules = RobotFileParser()
        # The parser passes over delays that are no whole numbers.
        rules.parse(_DELAY.sub(lambda match: f"{match[1]}{math.ceil(float(match[2]))}", text).splitlines())
        if delay_s := _delay_s(rules):
            log.info("%s asks for %g s between requests", origin, delay_s)
        return rules


def _delay_s(rules: RobotFileParser) -> float:
    """The pause between requests that a host asks us for, in either of the two notations."""
    rate = rules.request_rate(USER_AGENT)
    return max(float(rules.crawl_delay(USER_AGENT) or 0), rate.seconds / rate.requests if rate and rate.requests else 0)
