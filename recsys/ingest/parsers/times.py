"""Times as columns have them, made UTC in milliseconds: counted since 1970 in some unit, or written as dates.

How a column writes its times is decided once, by its first rows (`time_form`), or said by the setting `times`.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median_low

import pyarrow as pa
import pyarrow.compute as pc

UTC_MS = pa.timestamp("ms", tz="UTC")
MAX_SECONDS = 253_402_300_799  # the end of year 9999, the last that Python's dates can say
PER_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
ISO, DAY_FIRST, MONTH_FIRST, NONE = "iso", "day-month-year", "month-day-year", "none"
FORMS = (*PER_SECOND, ISO, DAY_FIRST, MONTH_FIRST)
"""What the setting `times` may say, besides `NONE` for ratings without times."""

NUMBER = re.compile(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*", re.ASCII)
ORDERED_DATE = re.compile(r"\s*([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})\b.*", re.ASCII)
_SHORT_DATE = re.compile(r"\s*([0-9]{1,2})[/.-]([0-9]{1,2}|[A-Za-z]{3,9})[/.-]([0-9]{2})(\s.*)?", re.ASCII)
UNCLEAR = {"ambiguous": ORDERED_DATE, "two digits": _SHORT_DATE}
"""Dates that mean one of several days; the order of those in `ORDERED_DATE` can be said."""

_COMPACT_DATE = re.compile(r"\s*(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])\s*", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?i:({'|'.join(_MONTHS)})(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?)\.?"
_DAY = r"([0-9]{1,2})(?:st|nd|rd|th)?"
_WEEKDAY = r"(?i:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
_NAMED_MONTHS = {
    rf"^{_WEEKDAY}{_DAY}(?:\s+|-){_MONTH}(?:,?\s+|-)([0-9]{{4}})\b,?": r"\3-\2-\1",
    rf"^{_WEEKDAY}{_MONTH}\s+{_DAY},?\s+([0-9]{{4}})\b,?": r"\3-\1-\2",
    rf"^{_WEEKDAY}{_MONTH}\s+{_DAY}\s+([0-9:]+(?:\s(?:[+-][0-9]{{4}}|UTC|GMT))?)\s+([0-9]{{4}})$": r"\4-\1-\2 \3",
}
"""Day and month in either order, and how they are turned round."""

_ZONED = r"([Zz]|:[0-9]{2}(\.[0-9]+)?\s?[+-][0-9]{2}(:?[0-9]{2})?)$"
_OTHER_FORMS = ("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
_UNIT_FROM = 10**11  # in its own unit March 1973 times ten and later; a thousand times as many are the next unit's
_EARLY = 10**8  # seconds until March 1973; no rating is older, so in a finer unit as few are of a coarser one


def time_form(texts: Sequence[str]) -> str:
    """How a column writes its times: one of `FORMS`, one of `UNCLEAR`, or nothing where they are no times.

    Numbers are told by their median: as seconds 10^11 is the year 5138, as milliseconds March 1973, and so on.

    >>> time_form(["964982703", "1"]), time_form(["964982703000.0"]), time_form(["1543727664000000"])
    ('seconds', 'milliseconds', 'microseconds')
    >>> time_form(["2024-05-31"]), time_form(["20240531"]), time_form(["02/12/2018"]), time_form(["soon"])
    ('iso', 'iso', 'ambiguous', '')
    >>> time_form(["02/12/18"]), time_form(["Dec 2, 2018"])
    ('two digits', 'iso')
    """
    texts = [text for text in texts if text.strip()]
    numbers = [abs(float(text)) for text in texts if NUMBER.fullmatch(text)]
    if texts and all(map(_COMPACT_DATE.fullmatch, texts)):
        return ISO
    if 2 * len(numbers) > len(texts):
        middle = median_low(numbers)
        return next((unit for unit, n in PER_SECOND.items() if middle < _UNIT_FROM * n), "nanoseconds")
    for name, pattern in UNCLEAR.items():
        if 2 * sum(map(bool, map(pattern.fullmatch, texts))) > len(texts):
            return name
    n_dates = len(texts) - parse_times(pa.array(texts, pa.string())).null_count
    return ISO if 2 * n_dates >= len(texts) and texts else ""


@dataclass(frozen=True, slots=True)
class Time:
    """Times of one form; what is of another is no time here."""

    form: str

    @property
    def wanted(self) -> str:
        """What a cell must be, to end "…, not"."""
        if self.form == ISO:
            return "a time such as 2024-05-31T12:30:00Z, 1970 or later"
        return (
            f"a time in {self.form}"
            if self.form in PER_SECOND
            else f"a date written {self.form}, its year in four digits"
        )

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """As UTC; null where a text is no time of this form.

        >>> Time("milliseconds").read(pa.chunked_array([["964982703000", "964982703"]])).null_count
        1
        """
        if self.form in PER_SECOND:
            return self.of_numbers(numbers(texts))
        return parse_times(_year_first(texts, self.form) if self.form != ISO else texts)

    def of_numbers(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Numbers since 1970; null where they are of another unit or beyond the year 9999."""
        per_second = PER_SECOND[self.form]
        is_time = pc.and_(pc.greater_equal(values, 0.0), pc.less(values, float((MAX_SECONDS + 1) * per_second)))
        if per_second > 1:
            is_coarse = pc.and_(pc.greater_equal(values, float(_EARLY)), pc.less(values, _EARLY * 1.0 * per_second))
            is_time = pc.and_not(is_time, is_coarse)
        ms = pc.floor(pc.multiply(pc.if_else(is_time, values, None), 1000.0 / per_second))
        return ms.cast(pa.int64()).cast(UTC_MS)

    def hint(self, text: str) -> str:
        """What a text that is no time of this form would be in another, or nothing.

        >>> Time("seconds").hint("1543727664000")
        ' (in milliseconds it is 2018-12-02 05:14:24 UTC)'
        """
        for form in FORMS:
            found = Time(form).read(pa.chunked_array([[text]], pa.string()))[0].as_py() if form != self.form else None
            if found is not None and datetime(1995, 1, 1, tzinfo=UTC) <= found <= datetime.now(UTC):
                return f" (in {form} it is {found:%Y-%m-%d %H:%M:%S} UTC)" if form in PER_SECOND else ""
        return ""


def numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as float64, null where they are no numbers.

    >>> numbers(pa.chunked_array([["1.5", " 2 ", "x", "0x1F"]])).to_pylist()
    [1.5, 2.0, None, None]
    """
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        is_number = pc.match_substring_regex(texts, f"^(?:{NUMBER.pattern})$")
        return pc.utf8_trim_whitespace(pc.if_else(is_number, texts, None)).cast(pa.float64())


def parse_times(texts: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 texts as UTC, and dates with a month's name; those without a zone are UTC. Milliseconds are the finest.

    Null where a text is no time or lies outside 1970–9999.

    >>> parse_times(pa.array(["2024-05-31", "2024-05-31T02:00:00+02:00", "yesterday"])).cast(pa.int64()).to_pylist()
    [1717113600000, 1717113600000, None]
    >>> parse_times(pa.array(["2018-12-02 05:14:24 UTC", "2018/12/02", "Dec 2, 2018", "2 December 2018"])).null_count
    0
    """
    values = pa.chunked_array([texts]) if isinstance(texts, pa.Array) else texts
    values = _months_as_numbers(pc.utf8_trim_whitespace(values))
    values = pc.replace_substring_regex(values, r"(\.[0-9]{3})[0-9]+", r"\1")
    values = pc.replace_substring_regex(values, r"\s*(?:UTC|GMT)$", "Z")
    values = pc.replace_substring_regex(values, r"^([0-9]{4})/([0-9]{2})/([0-9]{2})", r"\1-\2-\3")
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


def _months_as_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dates with an English month's name as ISO dates; other texts as they are.

    >>> _months_as_numbers(pa.chunked_array([["Sun, 2 Dec 2018 05:14", "Sept. 30th, 2018 5:14 PM"]])).to_pylist()
    ['2018-12-02 05:14', '2018-09-30 5:14 PM']
    """
    if not pc.any(pc.match_substring_regex(texts, _MONTH)).as_py():
        return texts
    for pattern, order in _NAMED_MONTHS.items():
        texts = pc.replace_substring_regex(texts, pattern, order)
    for number, name in enumerate(_MONTHS, 1):
        texts = pc.replace_substring_regex(texts, rf"^([0-9]{{4}})-(?i:{name})-", rf"\1-{number:02}-")
    return pc.replace_substring_regex(texts, r"^([0-9]{4}-[0-9]{2})-([0-9])(\s|$)", r"\1-0\2\3")


def within_bounds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null for times outside 1970–9999.

    >>> within_bounds(pa.chunked_array([[-1, 0]]).cast(UTC_MS)).null_count
    1
    """
    ms = times.cast(pa.int64())
    return pc.if_else(pc.and_(pc.greater_equal(ms, 0), pc.less(ms, (MAX_SECONDS + 1) * 1000)), times, None)


def _year_first(texts: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    """Dates written with their year last, turned round; null where a text is none."""
    order = r"\3-\2-\1" if form == DAY_FIRST else r"\3-\1-\2"
    values = pc.utf8_trim_whitespace(
        pc.if_else(pc.match_substring_regex(texts, f"^{ORDERED_DATE.pattern}$"), texts, None)
    )
    for single in (r"^([0-9][/.-])", r"([/.-])([0-9][/.-])"):
        padded = r"0\1" if single.startswith("^") else r"\10\2"
        values = pc.replace_substring_regex(values, single, padded)
    return pc.replace_substring_regex(values, r"^([0-9]{2})[/.-]([0-9]{2})[/.-]([0-9]{4})", order)


def _parse_time(text: str | None) -> int | None:
    time = None
    with contextlib.suppress(ValueError):
        time = datetime.fromisoformat(text or "")
    for form in _OTHER_FORMS if time is None else ():
        with contextlib.suppress(ValueError):
            time = datetime.strptime(text or "", form).replace(tzinfo=UTC)
    if time is None:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
