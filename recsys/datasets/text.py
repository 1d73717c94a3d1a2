"""The text of single rows of a file, looked up by their lines."""

from collections.abc import Collection

from recsys.datasets import lines
from recsys.datasets.archives import Archive, Member
from recsys.datasets.delimited import Format
from recsys.datasets.lines import Block
from recsys.datasets.parsed import MAX_CONTENT
from recsys.datasets.plain import opened


def source_text(archive: Archive, member: Member, form: Format, wanted: Collection[int]) -> dict[int, str]:
    """The rows that begin on the lines asked for, as they stand in the file, up to `MAX_CONTENT` characters each.

    Lines on which no row begins are left out.
    """
    found: dict[int, bytes] = {}
    wanted = set(wanted)
    rest, next_line = b"", 1
    with opened(archive, member) as file:
        for part in lines.read_blocks(file, form.encoding):
            if part.first_line > max(wanted, default=0):
                break
            block = Block(rest + part.data, next_line)
            rest = _pick(block, form, wanted, found, is_last=False)
            next_line = part.next_line - rest.count(b"\n")
    _pick(Block(rest, next_line), form, wanted, found, is_last=True)
    return {line: _decoded(data[: 4 * MAX_CONTENT])[:MAX_CONTENT] for line, data in found.items()}


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:  # the older releases
        return data.decode("latin-1")


def _pick(block: Block, form: Format, wanted: set[int], found: dict[int, bytes], *, is_last: bool) -> bytes:
    """Keep a block's wanted rows; returns what belongs to the next block."""
    if form.spans_lines and b'"' in block.data:
        records, rest = lines.split_records(block, form.delimiter, is_last=is_last)
        found.update((line, data) for line, data in records if line in wanted)
        return rest
    here = [line for line in wanted if block.first_line <= line < block.next_line]
    rows = block.data.split(b"\n") if here else []
    found.update((line, row) for line in here if (row := rows[line - block.first_line]))
    return b""
