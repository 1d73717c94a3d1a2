"""Cells that hold lists of flat records, as Python or JSON writes them; read by a grammar, never evaluated.

The Movies Dataset has ``[{'id': 16, 'name': 'Animation'}, …]`` in its columns of genres, keywords and credits.
The grammar is regular (nothing nests deeper), so that a pattern checks a cell in one pass, in linear time.
"""

import re
from collections.abc import Iterator
from itertools import islice

_STRING = (
    r"""(?:'(?:[^'\\]++|ESCAPE)*+'|"(?:[^"\\]++|ESCAPE)*+")""".replace(
        "ESCAPE", r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|[^xuUN])"
    )
)  # fmt: skip
_NUMBER = r"-?[0-9]{1,30}+(?:\.[0-9]{1,30}+)?+(?:[eE][-+]?[0-9]{1,3}+)?+"
_VALUE = rf"(?:{_STRING}|{_NUMBER}|None|True|False|null|true|false)"
_PAIR = rf"\s*+{_STRING}\s*+:\s*+{_VALUE}\s*+"
_RECORD = rf"\{{(?:{_PAIR}(?:,{_PAIR})*+|\s*+)\}}"
RECORDS = re.compile(rf"\s*+(?:\[\s*+(?:{_RECORD}\s*+(?:,\s*+{_RECORD}\s*+)*+)?+\]\s*+)?+", re.DOTALL)
"""A whole cell; an empty one holds no records."""

_STRINGS = re.compile(rf"\[\s*+(?:{_STRING}\s*+(?:,\s*+{_STRING}\s*+)*+)?+\]", re.DOTALL)
_ONE_STRING = re.compile(_STRING, re.DOTALL)

_ONE_RECORD = re.compile(_RECORD, re.DOTALL)
_ONE_PAIR = re.compile(rf"({_STRING})\s*+:\s*+({_VALUE})", re.DOTALL)
_ESCAPE = re.compile(r"\\(x..|u....|U........|.)", re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}


def parse_records(text: str, at_most: int | None = None, containing: str = "") -> Iterator[dict[str, str | None]]:
    r"""The records of a cell, strings as what they say, all other values as None.

    Args:
        text: the cell; it must match `RECORDS`.
        at_most: stop after so many records.
        containing: pass over records without this text.

    >>> list(parse_records("[{'id': 931, 'name': 'jealousy'}, {'name': \"children's \\u0062ook\"}]"))
    [{'id': None, 'name': 'jealousy'}, {'name': "children's book"}]
    >>> RECORDS.fullmatch("[{'name': __import__('os')}]") is None
    True
    """
    found = (match[0] for match in _ONE_RECORD.finditer(text) if containing in match[0])
    for record in islice(found, at_most):
        pairs = _ONE_PAIR.findall(record)
        yield {_string(key) or "": _string(value) for key, value in pairs}


def parse_names(text: str) -> list[str] | None:
    """The names in a cell that lists strings, or records with a ``name``; None where it lists neither.

    >>> parse_names('["Sci-Fi", "Drama"]'), parse_names("[{'id': 18, 'name': 'Drama'}]"), parse_names("[Drama]")
    (['Sci-Fi', 'Drama'], ['Drama'], None)
    """
    if _STRINGS.fullmatch(text):
        return [_string(token) or "" for token in _ONE_STRING.findall(text)]
    return [record.get("name") or "" for record in parse_records(text)] if RECORDS.fullmatch(text) else None


def _string(token: str) -> str | None:
    if token[0] not in "'\"":
        return None
    text = token[1:-1]
    if "\\" not in text:
        return text
    text = _ESCAPE.sub(lambda match: _unescape(match[1]), text)
    # JSON spells characters beyond the basic plane as two surrogates; one alone is nothing.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescape(code: str) -> str:
    return chr(int(code[1:], 16)) if code[0] in "xuU" else _CONTROLS.get(code, code)
