"""Ids as 32-bit integers: those of the source where they are such, else numbers with a dictionary.

Two ids are never made one. ``42.0`` is 42, as pandas writes it. ``0004`` is 4 unless the same column has a 4 as well.
Text, numbers beyond 32 bits, and zeros in front that tell two ids apart, are numbered in the order in which they
appear.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as words
from recsys.ingest.parsers.cells import LARGEST_ID, places
from recsys.ingest.parsers.parsed_tables import Draft, Fault

TEXT, NUMBER = "text", "number"
_MOST_ODD = 0.05  # of the rows may be no 32-bit integers where ids are; they are faults then

_WHOLE = r"^[0-9]+(\.0*)?$"
_BROKEN = r"^[-+]?[0-9]*\.[0-9]*[1-9][0-9]*$|^-[0-9]+(\.0*)?$"
_ROUNDED = r"^[0-9]\.?[0-9]*[eE]\+?[0-9]+$"  # as spreadsheets and floats write long numbers, their last digits lost

TextsAt = Callable[[str, Sequence[int]], Mapping[int, str]]
"""The rows of a file of the source that begin on some lines."""


def settle_ids(draft: Draft, texts_at: TextsAt, *, how: str = "", base: Mapping[str, "KnownIds"] | None = None) -> None:
    """Make the ids of a draft's tables 32-bit integers, with a dictionary where the source's are none.

    Args:
        draft: tables as read: their ids are 32-bit integers, or text where one of them is no plain integer.
        texts_at: looks up rows for the quarantine.
        how: `TEXT` or `NUMBER`; empty: numbers, unless more than 5 % of the rows have text or larger numbers.
        base: the ids of the snapshot an increment is added to; its dictionaries are extended, and made where ids come
            that are no 32-bit integers.
    """
    for name, schema in words.ID_TABLES.items():
        key = schema.names[0]
        held = base[name].dictionary if base else None
        columns = {table: rows[key] for table, rows in draft.tables.items() if key in rows.column_names and len(rows)}
        if held is None and how != TEXT and all(pa.types.is_int32(column.type) for column in columns.values()):
            continue
        texts = {table: column.cast(pa.string()) for table, column in columns.items()}
        ids = _Ids(texts, held, how)
        if ids.are_numbers:
            numbers = {table: ids.as_numbers(column) for table, column in texts.items()}
        else:
            if held is None and base:
                held = base[name].as_dictionary(schema)
            dictionary = _extended(held, [ids.as_texts(column) for column in texts.values()], schema)
            numbers = {table: _looked_up(ids.as_texts(column), dictionary) for table, column in texts.items()}
            draft.ids[name] = dictionary
        for table, column in numbers.items():
            _replace(draft, table, key, column, texts[table], texts_at, ids.wanted)


@dataclass(frozen=True, slots=True)
class KnownIds:
    """The ids of users or of movies in a snapshot: their numbers, and the dictionary where there is one."""

    numbers: pa.Array
    dictionary: pa.Table | None = None

    def as_dictionary(self, schema: pa.Schema) -> pa.Table:
        """The dictionary of ids that are numbers themselves."""
        numbers = self.numbers.unique()
        return pa.table([numbers, numbers.cast(pa.string())], schema=schema)


class _Ids:
    """What the ids of users, or of movies, are: decided once over all tables of a source."""

    def __init__(self, texts: Mapping[str, pa.ChunkedArray], held: pa.Table | None, how: str) -> None:
        counted = pc.value_counts(
            pa.chunked_array([c for column in texts.values() for c in column.chunks], pa.string())
        )
        distinct, counts = counted.field("values"), counted.field("counts")
        is_whole = pc.match_substring_regex(distinct, _WHOLE)
        whole = self._canonical(distinct.filter(is_whole))
        numbers = whole.filter(pc.less_equal(pc.utf8_length(_unpadded(whole)), 18))
        is_small = pc.less_equal(_unpadded(numbers).cast(pa.int64()), LARGEST_ID)
        small = numbers.filter(is_small).unique()
        is_number = pc.or_(
            pc.is_in(self._canonical(distinct), small), pc.match_substring_regex(distinct, f"{_BROKEN}|{_ROUNDED}")
        )
        n_odd = pc.sum(counts.filter(pc.invert(pc.fill_null(is_number, True)))).as_py() or 0
        known = pa.concat_arrays([distinct, *(held[words.SOURCE_ID].chunks if held is not None else ())])
        self.has_words = pc.all(pc.match_substring_regex(known, f"{_WHOLE}|{_BROKEN}|{_ROUNDED}")).as_py() is False
        is_odd = n_odd > _MOST_ODD * (pc.sum(counts).as_py() or 0) or any(map(self._tells_apart, texts.values()))
        self.are_numbers = held is None and (how == NUMBER or (how != TEXT and not is_odd))

    @property
    def wanted(self) -> str:
        """What a cell must be, to end "…, not"."""
        if self.are_numbers:
            return f"a whole number in [0, {LARGEST_ID}] as other ids are (with ids={TEXT} any text is an id)"
        return "an id: it is broken, negative or rounded"

    def as_numbers(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """The integers the texts are; null where one is none of 32 bits."""
        digits = _unpadded(self._canonical(pc.if_else(pc.match_substring_regex(texts, _WHOLE), texts, None)))
        numbers = pc.if_else(pc.less_equal(pc.utf8_length(digits), 18), digits, None).cast(pa.int64())
        return pc.if_else(pc.less_equal(numbers, LARGEST_ID), numbers, None).cast(pa.int32())

    def as_texts(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """The ids the texts are; among words every text is one, among numbers none that lost digits."""
        if self.has_words:
            return texts
        return self._canonical(pc.if_else(pc.match_substring_regex(texts, _WHOLE), texts, None))

    def _tells_apart(self, texts: pa.ChunkedArray) -> bool:
        """Whether zeros in front make two ids of one column; another column may write the same ids without."""
        distinct = texts.unique()
        whole = self._canonical(distinct.filter(pc.match_substring_regex(distinct, _WHOLE))).unique()
        return len(_unpadded(whole).unique()) < len(whole)

    @staticmethod
    def _canonical(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        return pc.replace_substring_regex(texts, r"^([0-9]+)\.0*$", r"\1")


def _unpadded(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.replace_substring_regex(texts, r"^0+([0-9])", r"\1")


def _extended(held: pa.Table | None, columns: Sequence[pa.ChunkedArray], schema: pa.Schema) -> pa.Table:
    """The dictionary with the texts it has not yet, numbered after those it has, in the order they appear."""
    texts = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string()).unique().drop_null()
    if held is None:
        held = schema.empty_table()
    new = texts.filter(pc.invert(pc.is_in(texts, held[words.SOURCE_ID].combine_chunks())))
    first = (pc.max(held[schema.names[0]]).as_py() or 0) + 1
    numbers = pa.array(np.arange(first, first + len(new)), pa.int32())
    return pa.concat_tables([held.cast(schema), pa.table([numbers, new], schema=schema)])


def _looked_up(texts: pa.ChunkedArray, dictionary: pa.Table) -> pa.ChunkedArray:
    places = pc.index_in(texts, dictionary[words.SOURCE_ID].combine_chunks())
    return dictionary.column(0).take(places)


def _replace(
    draft: Draft,
    table: str,
    key: str,
    numbers: pa.ChunkedArray,
    texts: pa.ChunkedArray,
    texts_at: TextsAt,
    wanted: str,
) -> None:
    """Put numbers in the place of texts; rows without one go to the quarantine."""
    rows = draft.tables[table]
    is_id = numbers.is_valid()
    draft.tables[table] = rows.set_column(rows.schema.get_field_index(key), key, numbers).filter(is_id)
    bad = pa.array(places(pc.invert(is_id)), pa.int64())
    faults: dict[str, dict[int, str]] = {}
    for line, text in zip(rows[words.LINE].take(bad).to_pylist(), texts.take(bad).to_pylist(), strict=True):
        file, number = words.place_of(draft.homes[table], line)
        is_rounded = re.fullmatch(_ROUNDED, text)
        why = "a number whose last digits are lost; write ids out" if is_rounded else f"not {wanted}"
        faults.setdefault(file, {})[number] = f"{key} is {text[:80]!r}, {why}"
    for file, sentences in faults.items():
        contents = texts_at(file, list(sentences))
        found = [Fault(line, fault, contents.get(line, "")) for line, fault in sentences.items()]
        draft.move(table, file, found)
