"""Times as columns have them, made UTC in milliseconds: ISO 8601 text, or seconds or milliseconds since 1970."""

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

UTC_MS = pa.timestamp("ms", tz="UTC")
MAX_SECONDS = 253_402_300_799  # the end of year 9999, the last that Python's dates can say
_MS_FROM = 10**11  # as seconds this is the year 5138, as milliseconds March 1973
_ZONED = r"([Zz]|:[0-9]{2}(\.[0-9]+)?\s?[+-][0-9]{2}(:?[0-9]{2})?)$"


def count_in_ms(numbers: Sequence[float]) -> bool:
    """Whether times that are numbers count milliseconds rather than seconds since 1970.

    Decided once for a whole column: by whether the median reaches 10^11, which no plausible column of seconds
    does (the year 5138), and every column of milliseconds from March 1973 on.

    >>> count_in_ms([964982703, 1]), count_in_ms([964982703000.0]), count_in_ms([])
    (False, True, False)
    """
    return bool(numbers) and median(numbers) >= _MS_FROM


def parse_times(texts: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 texts as UTC; those without a zone are UTC already. Finer than milliseconds is cut off.

    Null where a text is no time or lies outside 1970–9999.

    >>> parse_times(pa.array(["2024-05-31", "2024-05-31T02:00:00+02:00", "yesterday"])).cast(pa.int64()).to_pylist()
    [1717113600000, 1717113600000, None]
    """
    values = pa.chunked_array([texts]) if isinstance(texts, pa.Array) else texts
    values = pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"(\.[0-9]{3})[0-9]+", r"\1")
    try:
        is_zoned = pc.match_substring_regex(values, _ZONED)
        zoned = pc.if_else(is_zoned, values, None).cast(UTC_MS)
        naive = pc.if_else(is_zoned, None, values).cast(pa.timestamp("ms")).cast(UTC_MS)
        times = pc.coalesce(zoned, naive)
    except pa.ArrowInvalid:  # one of them is no time, or spelled in a way only Python knows
        times = pa.chunked_array([pa.array([_parse_time(text) for text in values.to_pylist()], pa.int64())]).cast(
            UTC_MS
        )
    return within_bounds(times)


def within_bounds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null for times outside 1970–9999.

    >>> within_bounds(pa.chunked_array([[-1, 0]]).cast(UTC_MS)).null_count
    1
    """
    ms = times.cast(pa.int64())
    return pc.if_else(pc.and_(pc.greater_equal(ms, 0), pc.less(ms, (MAX_SECONDS + 1) * 1000)), times, None)


def _parse_time(text: str | None) -> int | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
