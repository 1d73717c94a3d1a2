r"""Text files as lines and records: cut into blocks at line ends, with the line each row begins on.

Line ends are LF, CRLF or CR, all handed on as LF; text is handed on as UTF-8, quotes within quotes doubled. A *record*
is one row: a line, or, where values may be quoted, a run of lines. A quote that is never closed would swallow all that
follows; so a record over several lines must be quoted without a fault and stay within a limit, else each of its
lines is a row of its own, for the cells to be judged.
"""

import codecs
import re
from collections.abc import Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 16 << 20
MAX_LINE_BYTES = 1 << 20
MAX_CONTENT = 10_000
_MAX_RECORD_LINES = 1_000
_ESCAPED = re.compile(rb'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Format:
    """How rows are written.

    Attributes:
        delimiter: what separates cells; of one character or several.
        is_quoted: whether values may be in double quotes, and then hold delimiters and line breaks.
        is_escaped: whether a quote within quotes is written with a backslash rather than doubled.
        encoding: of the text, as Python names it.
        n_before: lines above the header, or above the rows where there is none; they are no rows.
        has_header: whether the first line names the columns.
        text_column: the place of a column that may hold the delimiter without quotes, if there is one.
    """

    delimiter: str = ","
    is_quoted: bool = True
    is_escaped: bool = False
    encoding: str = "utf-8"
    n_before: int = 0
    has_header: bool = True
    text_column: int | None = None


class Block(NamedTuple):
    """Whole lines, each ended by LF, and the number of the first of them."""

    data: bytes
    first_line: int

    @property
    def next_line(self) -> int:
        return self.first_line + self.data.count(b"\n")

    def without_lines(self, n_lines: int) -> "Block":
        r"""The block without its first lines.

        >>> Block(b"a\nb\n", 1).without_lines(1)
        Block(data=b'b\n', first_line=2)
        """
        data = self.data
        for _ in range(n_lines):
            data = data.partition(b"\n")[2]
        return Block(data, self.first_line + n_lines)


class Record(NamedTuple):
    """One row as it stands in the file, without its last line end."""

    line: int
    data: bytes

    @property
    def next_line(self) -> int:
        return self.line + self.data.count(b"\n") + 1


def read_blocks(file: IO[bytes], encoding: str = "utf-8", block_bytes: int | None = None) -> Iterator[Block]:
    r"""A file's lines in blocks, as UTF-8, without a byte-order mark.

    What a line has beyond `MAX_LINE_BYTES` may be left out: enough is kept to tell that it is too long.

    >>> import io
    >>> [tuple(block) for block in read_blocks(io.BytesIO(b"a\r\nb\rc\n\nd"), block_bytes=4)]
    [(b'a\n', 1), (b'b\nc\n\n', 2), (b'd\n', 5)]
    """
    line, rest, held = 1, b"", b""
    is_start = True
    for chunk in _utf8_chunks(file, encoding, block_bytes or BLOCK_BYTES):
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""  # perhaps half of a CRLF
        if b"\r" in data:
            data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if is_start:
            is_start, data = False, data.removeprefix(codecs.BOM_UTF8)
        cut = data.rfind(b"\n") + 1
        if cut:
            block = Block(rest + data[:cut], line)
            yield block
            line, rest = block.next_line, data[cut:]
        elif len(rest) <= MAX_LINE_BYTES:
            rest += data
    if rest or held:
        yield Block(rest[: MAX_LINE_BYTES + 1] + b"\n", line)


def _utf8_chunks(file: IO[bytes], encoding: str, block_bytes: int) -> Iterator[bytes]:
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(errors="replace")
    while chunk := file.read(block_bytes):
        yield chunk if decoder is None else decoder.decode(chunk).encode()
    if decoder is not None:
        yield decoder.decode(b"", final=True).encode()


def read_ahead(blocks: Iterator[Block]) -> Generator[Block, None, None]:
    """The same blocks, each prepared while the one before it is worked on: unpacking takes as long as parsing."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def read_rows(file: IO[bytes], form: Format, wanted: Collection[int]) -> dict[int, str]:
    """The rows that begin on the lines asked for, as they stand in the file, up to `MAX_CONTENT` characters each.

    Lines on which no row begins are left out.
    """
    found: dict[int, bytes] = {}
    left = set(wanted)
    rest = Block(b"", 1)
    for part in read_blocks(file, form.encoding):
        if part.first_line > max(left, default=0):
            break
        rest = _pick(Block(rest.data + part.data, rest.first_line), form, left, found, is_last=False)
    _pick(rest, form, left, found, is_last=True)
    return {line: data[: 4 * MAX_CONTENT].decode(errors="replace")[:MAX_CONTENT] for line, data in found.items()}


def _pick(block: Block, form: Format, wanted: set[int], found: dict[int, bytes], *, is_last: bool) -> Block:
    """Keep a block's wanted rows; returns what belongs to the next block."""
    rows = block.data.split(b"\n")
    n_left = 0
    if form.is_quoted and b'"' in block.data:
        records, rest = split_records(Block(unescaped(block.data, form), block.first_line), form, is_last=is_last)
        n_left = rest.count(b"\n")
        spans = {record.line: record.next_line for record in records if record.line in wanted}
    else:
        spans = {line: line + 1 for line in wanted if block.first_line <= line < block.next_line}
    for line, after in spans.items():
        if row := b"\n".join(rows[line - block.first_line : after - block.first_line]):
            found[line] = row
    return Block(b"".join(row + b"\n" for row in rows[len(rows) - 1 - n_left : -1]), block.next_line - n_left)


def unescaped(data: bytes, form: Format) -> bytes:
    r"""The same lines with quotes doubled where they are written with a backslash.

    >>> unescaped(rb'1,"a \"b\" \N"', Format(is_escaped=True))
    b'1,"a ""b"" \\N"'
    """
    if not form.is_escaped or b"\\" not in data:
        return data
    return _ESCAPED.sub(lambda match: b'""' if match[1] == b'"' else b"\\", data)


def row_lines(block: Block) -> NDArray[np.int64]:
    r"""The numbers of the lines that are not blank.

    >>> row_lines(Block(b"a\n\n\nb\n", 7)).tolist()
    [7, 10]
    """
    if not block.data.startswith(b"\n") and b"\n\n" not in block.data:
        return np.arange(block.first_line, block.next_line)
    ends = np.flatnonzero(np.frombuffer(block.data, np.uint8) == ord("\n"))
    return block.first_line + np.flatnonzero(np.diff(ends, prepend=-1) > 1)


def may_be_overlong(data: bytes) -> bool:
    """Whether a line could exceed the limit: half of it passes without a line end."""
    half = MAX_LINE_BYTES // 2
    return any(data.find(b"\n", start, start + half) < 0 for start in range(0, len(data) - half, half))


def last_line(data: bytes) -> bytes:
    r"""The last line of a block that is not blank, with all that follows it.

    >>> last_line(b"a\nb\n\n")
    b'b\n\n'
    """
    return data[data.rfind(b"\n", 0, len(data.rstrip(b"\n"))) + 1 :]


def split_records(block: Block, form: Format, *, is_last: bool) -> tuple[list[Record], bytes]:
    r"""The records of a block, and the rest that is not yet a whole one.

    >>> split_records(Block(b'1,"a\nb"\n2,c\n3,"d\n', 1), Format(), is_last=False)
    ([Record(line=1, data=b'1,"a\nb"'), Record(line=3, data=b'2,c')], b'3,"d\n')
    >>> split_records(Block(b'1,"a\n2,"b"\n', 1), Format(), is_last=True)
    ([Record(line=1, data=b'1,"a'), Record(line=2, data=b'2,"b"')], b'')
    """
    lines = block.data.split(b"\n")[:-1]
    if not form.is_quoted:
        return [Record(number, line) for number, line in enumerate(lines, block.first_line) if line], b""
    records: list[Record] = []
    start = 0
    while start < len(lines):
        end, is_one = _run(lines, start, form.delimiter)
        if end > len(lines):
            if not is_last:
                return records, b"\n".join(lines[start:]) + b"\n"
            end = len(lines)
        parts = [b"\n".join(lines[start:end])] if is_one else lines[start:end]
        records += [Record(block.first_line + i, part) for i, part in enumerate(parts, start) if part]
        start = end
    return records, b""


def is_open(line: bytes, delimiter: str) -> bool:
    """Whether a line ends within a quoted value.

    >>> is_open(b'1,"a', ","), is_open(b'1,"a ""quoted"" b"', ","), is_open(b'1,5" disk', ",")
    (True, False, False)
    """
    return b'"' in line and _patterns(delimiter).open_line.fullmatch(line) is not None


def _run(lines: list[bytes], start: int, delimiter: str) -> tuple[int, bool]:
    """Where the run of lines ends that begins here (beyond the last: not yet known), and whether it is one record."""
    patterns = _patterns(delimiter)
    if b'"' not in lines[start] or not patterns.opening_line.fullmatch(lines[start]):
        return start + 1, True
    size = len(lines[start])
    for i in range(start + 1, len(lines)):
        size += len(lines[i])
        if i - start >= _MAX_RECORD_LINES or size > MAX_LINE_BYTES:
            return i, False
        if patterns.still_quoted.fullmatch(lines[i]):
            continue
        if patterns.closing_line.fullmatch(lines[i]):
            return i + 1, True
        if not patterns.reopening_line.fullmatch(lines[i]):
            return i, False
    return len(lines) + 1, False


class _Patterns(NamedTuple):
    open_line: re.Pattern[bytes]
    opening_line: re.Pattern[bytes]
    still_quoted: re.Pattern[bytes]
    closing_line: re.Pattern[bytes]
    reopening_line: re.Pattern[bytes]


@cache
def _patterns(delimiter: str) -> _Patterns:
    """Quoting as RFC 4180 has it; on one line alone, what follows a closing quote is let pass, as Arrow does."""
    comma = re.escape(delimiter.encode())
    quoted = rb'(?:[^"]++|"")*+'
    strict = rb'(?:"%s"|[^"%s][^%s]*+)?+' % (quoted, comma, comma)
    lenient = rb'(?:"%s"[^%s]*+|[^"%s][^%s]*+)?+' % (quoted, comma, comma, comma)
    return _Patterns(
        open_line=re.compile(rb'(?:%s%s)*+"%s' % (lenient, comma, quoted)),
        opening_line=re.compile(rb'(?:%s%s)*+"%s' % (strict, comma, quoted)),
        still_quoted=re.compile(quoted),
        closing_line=re.compile(rb'%s"(?:%s%s)*+' % (quoted, comma, strict)),
        reopening_line=re.compile(rb'%s"(?:%s%s)*+%s"%s' % (quoted, comma, strict, comma, quoted)),
    )
