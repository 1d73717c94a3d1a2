"""What a file seems to hold, from its beginning: how its rows are written, what its columns are called, first rows.

Nothing is decided here that a person should decide: a file without a header line gets columns ``column1``,
``column2``, …, and whoever reads it asks what they are.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from recsys.ingest.archives.archives import Archive, Member
from recsys.ingest.archives.plain_files import PARQUET_MAGIC, first_bytes
from recsys.ingest.formats import parquet_files
from recsys.ingest.parsers.cells import split_cells
from recsys.ingest.parsers.column_names import count_known
from recsys.ingest.parsers.lines import Block, Format, split_records, unescaped
from recsys.ingest.parsers.times import NUMBER, UNCLEAR

HEAD_BYTES = 256 << 10
_TEXT_BYTES = (
    64 << 20
)  # a file of movies or tags is looked at so far: one title of thousands shows how quotes are written
_SAMPLED_ROWS = 1_000
_TITLE_LINES = 10
_DELIMITERS = ("::", ",", ";", "\t", "|", "\x01", " ")
_SEP_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_ISO_DATE = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.ASCII)
_BACKSLASHED = re.compile(rb'(?:^|[,;\t|])"(?:[^"\n\\]|\\.)*\\"(?![,;\t|\r\n"]|\Z)', re.MULTILINE)
_ARCHIVES = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_WITHOUT_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - set(map(ord, "\t\n\r\x01\x85")))
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

NameCount = Callable[[list[str]], int]
"""How many of some column names are known."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file that holds a table.

    Attributes:
        member: the file.
        names: of its columns, in order.
        form: how its rows are written; None for Parquet.
        sample: the first rows, as text.
        first_line: the first line of text, as it stands there.
        of_folders: columns whose value the names of its folders say, as ``year=2019`` does.
    """

    member: Member
    names: list[str]
    form: Format | None
    sample: list[list[str]]
    first_line: str = ""
    of_folders: dict[str, str] = field(default_factory=dict)

    @property
    def has_header(self) -> bool:
        return self.form is None or self.form.has_header

    def cells(self, name: str) -> list[str]:
        """The sampled cells of a column, of rows with as many cells as there are columns."""
        if name in self.of_folders:
            return [self.of_folders[name]] * len(self.sample)
        place = self.names.index(name)
        return [row[place] for row in self.sample if len(row) == len(self.names)]


def sniff(archive: Archive, member: Member, n_known: NameCount = count_known) -> Table | None:
    """What a file holds, if it is a table at all.

    Args:
        archive: holds the file.
        member: the file.
        n_known: decides between delimiters, and whether the first line is a header.
    """
    head = first_bytes(archive, member, HEAD_BYTES)
    if head.startswith(PARQUET_MAGIC):
        names, sample = parquet_files.first_rows(archive, member, _SAMPLED_ROWS)
        return Table(member, names, None, sample)
    if is_binary(head):
        return None
    encoding = encoding_of(head)
    lines = _lines(head, encoding)
    delimiter, n_before = _preamble(lines, n_known)
    if len(lines) <= n_before:
        return None
    first, rows = lines[n_before], [line for line in lines[n_before + 1 : n_before + 1 + _SAMPLED_ROWS] if line]
    delimiter = delimiter or delimiter_of(first, rows, n_known)
    form = Format(delimiter, len(delimiter) == 1, _has_backslashes(head), encoding, n_before)
    cells, *sample = _split(first, form), *_sample(rows, form)
    if len(cells) < 2:
        return None
    is_data = _is_data(cells, delimiter, n_known(cells))
    if first.lstrip().startswith(("{", "[", "<")) or (delimiter == " " and n_known(cells) < 2 and not is_data):
        return None  # JSON, a page, or prose
    if is_data:
        form = replace(form, has_header=False)
        sample = [cells, *sample]
        cells = _header_in_comment(lines[:n_before], form, n_known) or _names_by_place(sample)
    names = _fitted([name.strip() for name in cells], sample)
    return Table(member, names, form, sample, first)


def is_binary(head: bytes) -> bool:
    r"""Whether a file is no text: it begins as an archive does, or a tenth of it is control characters.

    >>> is_binary(b"PK\x03\x04"), is_binary(bytes(range(256))), is_binary("a,b\n1,2".encode("utf-16"))
    (True, True, False)
    """
    text = head.decode(encoding_of(head), "replace")
    n_controls = len(text) - len(text.translate(_WITHOUT_CONTROLS))
    return is_archive(head) or 10 * n_controls > len(text)


def is_archive(head: bytes) -> bool:
    """Whether a file holds others, by its first bytes."""
    return head.startswith(_ARCHIVES) or head[257:262] == b"ustar"


def kind_of(head: bytes) -> str:
    r"""What a file that is no table seems to be, in words.

    >>> kind_of(b""), kind_of(b'[{"user": 1}]'), kind_of(b"id\n1\n")
    ('it is empty', 'it holds JSON', 'it has a single column, or no columns at all')
    """
    text = head.strip()
    if is_binary(head):
        return "it is no text"
    if not text:
        return "it is empty"
    return "it holds JSON" if text.startswith((b"{", b"[")) else "it has a single column, or no columns at all"


def table_of(archive: Archive, member: Member, names: Sequence[str], form: Format) -> Table:
    """A file whose way of writing and whose columns are known."""
    lines = _lines(first_bytes(archive, member, HEAD_BYTES), form.encoding)
    n_above = form.n_before + form.has_header
    return Table(member, list(names), form, _sample(lines[n_above : n_above + _SAMPLED_ROWS], form))


def _lines(head: bytes, encoding: str) -> list[str]:
    """The whole lines of the beginning of a file."""
    lines = re.split("\r\n|\r|\n", head.decode(encoding, "replace").removeprefix("\ufeff"))
    return lines[:-1] if len(head) == HEAD_BYTES else lines


def _sample(lines: Sequence[str], form: Format) -> list[list[str]]:
    """The rows of these lines, each of one line or, where a value is quoted, of several."""
    data = unescaped("".join(f"{line}\n" for line in lines).encode(), form)
    records, _ = split_records(Block(data, 1), form, is_last=True)
    return [split_cells(row.data.decode(), form.delimiter, is_quoted=form.is_quoted) for row in records]


def _names_by_place(sample: Sequence[Sequence[str]]) -> list[str]:
    """``column1``, ``column2``, …; none for those at the end that are blank in all rows.

    >>> _names_by_place([["1", "", ""], ["2", "3", ""]])
    ['column1', 'column2', '']
    """
    n_filled = max((i for row in sample for i, cell in enumerate(row, 1) if cell.strip()), default=0)
    return [f"column{i}" if i <= n_filled else "" for i in range(1, len(sample[0]) + 1)]


def _fitted(names: list[str], sample: Sequence[Sequence[str]]) -> list[str]:
    """Names of all columns where lines, or the header alone, end with delimiters that no column stands behind.

    >>> _fitted(["a", "b"], [["1", "2", ""], ["3", "4", ""]]), _fitted(["a", "b", ""], [["1", "2"]])
    (['a', 'b', ''], ['a', 'b'])
    """
    (n_cells, _), *_ = Counter(map(len, sample)).most_common(1) or [(len(names), 0)]
    n_more = n_cells - len(names)
    if n_more > 0 and not any(any(map(str.strip, row[len(names) :])) for row in sample):
        return [*names, *[""] * n_more]
    return names if any(names[n_cells:]) else names[:n_cells]


def with_text(archive: Archive, table: Table) -> Table:
    """The same with its encoding and its way of writing quotes told by the whole file: for titles and tags."""
    if table.form is None:
        return table
    data = first_bytes(archive, table.member, _TEXT_BYTES)
    is_escaped = table.form.is_quoted and _has_backslashes(data)
    return replace(table, form=replace(table.form, encoding=encoding_of(data), is_escaped=is_escaped))


def encoding_of(data: bytes) -> str:
    """UTF-16 where its marks or zeros show it; else UTF-8, unless most of the lines beyond ASCII are not.

    >>> encoding_of("Amélie".encode()), encoding_of("Misérables".encode("latin-1")), encoding_of("a,b".encode("utf-16"))
    ('utf-8', 'latin-1', 'utf-16')
    """
    if data[:2] in _UTF16:
        return _UTF16[data[:2]]
    if data[:4].count(b"\0") == 2:
        return "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    if data.isascii() or _is_utf8(data[: data.rfind(b"\n") + 1] or data):
        return "utf-8"
    beyond = [line for line in re.split(rb"[\r\n]", data)[:-1] or [data] if not line.isascii()]
    n_utf8 = sum(map(_is_utf8, beyond))
    return "utf-8" if 2 * n_utf8 >= len(beyond) else "latin-1"


def delimiter_of(first: str, rows: Sequence[str], n_known: NameCount) -> str:
    """What separates cells: that which gives most known names, then rows of one length, then most cells.

    >>> delimiter_of("user;item;rating;when, in UTC", [], lambda names: len({"user", "item"} & set(names)))
    ';'
    """

    def merit(delimiter: str) -> tuple[int, bool, int]:
        form = Format(delimiter, len(delimiter) == 1)
        cells = _split(first, form)
        lengths = {len(_split(row, form)) for row in rows[:20]}
        n_cells = 0 if delimiter == " " else len(cells)  # words of a title are no cells
        return n_known(cells), len(cells) > 1 and lengths <= {len(cells)}, n_cells

    return max(_DELIMITERS, key=merit)


def _preamble(lines: Sequence[str], n_known: NameCount) -> tuple[str, int]:
    """A delimiter that is said, and how many lines stand above the header: blank ones, comments, ``sep=;``, a title.

    Lines of a title have fewer cells than the header below them; else they could be rows.
    """
    delimiter, n_before = "", 0
    for line in lines:
        if match := _SEP_LINE.fullmatch(line):
            delimiter = match[1]
        elif line.strip() and not line.startswith("#"):
            break
        n_before += 1
    for place, line in enumerate(lines[n_before : n_before + _TITLE_LINES], n_before):
        for mark in _DELIMITERS[1:] if not delimiter else ():
            header = _split(line, Format(mark))
            above = [len(_split(title, Format(mark))) for title in lines[n_before:place]]
            if n_known(header) > 2 and max(above, default=0) < len(header):
                return mark, place
    return delimiter, n_before


def _header_in_comment(comments: Sequence[str], form: Format, n_known: NameCount) -> list[str] | None:
    """The names in the last comment above the rows, where it is a header."""
    names = _split(comments[-1].lstrip("# "), form) if comments else []
    return names if n_known(names) >= 2 else None


def _split(line: str, form: Format) -> list[str]:
    line = unescaped(line.encode(), form).decode() if form.is_escaped else line
    return split_cells(line, form.delimiter, is_quoted=form.is_quoted)


def _is_data(cells: Sequence[str], delimiter: str, n_known: int) -> bool:
    """Whether a first line is a row: names are neither numbers nor dates, whatever a mapping says of them."""
    patterns = (NUMBER, _ISO_DATE, *UNCLEAR.values())
    is_value = [any(pattern.fullmatch(cell) for pattern in patterns) for cell in cells]
    return all(is_value) or (n_known < 2 and (any(is_value) or delimiter == "::"))


def _has_backslashes(data: bytes) -> bool:
    """Whether a quote within quotes is written with a backslash."""
    return b'\\"' in data and _BACKSLASHED.search(data) is not None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
