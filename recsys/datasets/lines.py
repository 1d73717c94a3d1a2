"""Text files as lines and records: cut into blocks at line ends, with the line each row begins on.

Line ends are LF, CRLF or CR, all handed on as LF. A *record* is one row: a line, or, in formats where quoted
values may hold line breaks, a run of lines. A quote that is never closed would swallow all that follows; so a
record over several lines must be quoted without a fault and stay within a limit, else each of its lines is a
row of its own, for the cells to be judged.
"""

import re
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 16 << 20
MAX_LINE_BYTES = 1 << 20
_MAX_RECORD_LINES = 1_000


class Block(NamedTuple):
    """Whole lines, each ended by LF, and the number of the first of them."""

    data: bytes
    first_line: int

    @property
    def next_line(self) -> int:
        return self.first_line + self.data.count(b"\n")


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
    block_bytes = block_bytes or BLOCK_BYTES
    line, rest, held = 1, b"", b""
    is_start = True
    while chunk := file.read(block_bytes):
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""  # perhaps half of a CRLF
        if b"\r" in data:
            data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if encoding != "utf-8":
            data = data.decode(encoding).encode()
        if is_start:
            is_start, data = False, data.removeprefix(b"\xef\xbb\xbf")
        cut = data.rfind(b"\n") + 1
        if cut:
            block = Block(rest + data[:cut], line)
            yield block
            line, rest = block.next_line, data[cut:]
        elif len(rest) <= MAX_LINE_BYTES:
            rest += data
    if rest or held:
        yield Block(rest[: MAX_LINE_BYTES + 1] + b"\n", line)


def read_ahead(blocks: Iterator[Block]) -> Generator[Block, None, None]:
    """The same blocks, each prepared while the one before it is worked on: unpacking takes as long as parsing."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


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
    r"""The last line of a block, with its end.

    >>> last_line(b"a\nb\n")
    b'b\n'
    """
    return data[data.rfind(b"\n", 0, -1) + 1 :]


def split_lines(block: Block) -> list[Record]:
    """Each line that is not blank as a record."""
    lines = block.data.split(b"\n")
    return [Record(number, line) for number, line in enumerate(lines, block.first_line) if line]


def split_records(block: Block, delimiter: str, *, is_last: bool) -> tuple[list[Record], bytes]:
    r"""Records of a format whose quoted values may hold line breaks, and the rest that is not yet a whole one.

    >>> split_records(Block(b'1,"a\nb"\n2,c\n3,"d\n', 1), ",", is_last=False)
    ([Record(line=1, data=b'1,"a\nb"'), Record(line=3, data=b'2,c')], b'3,"d\n')
    >>> split_records(Block(b'1,"a\n2,"b"\n', 1), ",", is_last=True)
    ([Record(line=1, data=b'1,"a'), Record(line=2, data=b'2,"b"')], b'')
    """
    lines = block.data.split(b"\n")[:-1]
    records: list[Record] = []
    start = 0
    while start < len(lines):
        end, is_one = _run(lines, start, delimiter)
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
    if not is_open(lines[start], delimiter):
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
        still_quoted=re.compile(quoted),
        closing_line=re.compile(rb'%s"(?:%s%s)*+' % (quoted, comma, strict)),
        reopening_line=re.compile(rb'%s"(?:%s%s)*+%s"%s' % (quoted, comma, strict, comma, quoted)),
    )
