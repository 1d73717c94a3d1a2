"""Bad rows are found wherever they stand, and what is good does not depend on its neighbours or on blocks."""

import random

import pytest

from recsys.errors import DataError
from recsys.ingest.archives.archives import open_archive
from recsys.ingest.parsers import delimited, lines
from recsys.ingest.parsers.cells import Column, Text, Whole
from recsys.ingest.parsers.delimited import read_delimited
from recsys.ingest.parsers.lines import Format

COLUMNS = (Column("id", Whole(0, 99_999)), Column("text", Text()))
ONE_LINE = Format(is_quoted=False)


def read(tmp_path, content, form=None):
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with open_archive(path) as archive:
        return read_delimited(archive, archive.members[0], ["id", "text"], COLUMNS, form or Format())


def kept(rows):
    return list(zip(*(rows.table[name].to_pylist() for name in ("line", "id", "text")), strict=True))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block_bytes", [3, 7, 64, 1 << 20])
def test_line_ends_and_blocks_change_nothing(tmp_path, monkeypatch, end, block_bytes):
    monkeypatch.setattr(lines, "BLOCK_BYTES", block_bytes)
    rows = read(tmp_path, end.join(["id,text", "1,a", "", "x,b", '3,"c, d"', ""]))
    assert kept(rows) == [(2, 1, "a"), (5, 3, "c, d")]
    assert [(fault.line, fault.fault, fault.content) for fault in rows.faults] == [
        (4, "id is 'x', not a whole number in [0, 99999]", "x,b")
    ]
    assert rows.n_in == 3


def test_bad_rows_among_thousands_are_each_found(tmp_path):
    chance = random.Random(1)
    bad = sorted(chance.sample(range(20_000), 300))
    text = ["id,text", *(f"{'?' if i in set(bad) else i},t{i}" for i in range(20_000))]
    rows = read(tmp_path, "\n".join(text))
    assert [fault.line for fault in rows.faults] == [i + 2 for i in bad]
    assert rows.table["id"].to_pylist() == [i for i in range(20_000) if i not in set(bad)]
    assert rows.table["line"].to_pylist() == [i + 2 for i in rows.table["id"].to_pylist()]


@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_quoted_values_may_span_lines_where_values_are_quoted(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(lines, "BLOCK_BYTES", block_bytes)
    content = 'id,text\n1,"a\n\nb"\n2,c\n3,"d ""e""\nf"'
    rows = read(tmp_path, content)
    assert kept(rows) == [(2, 1, "a\n\nb"), (5, 2, "c"), (6, 3, 'd "e"\nf')]
    rows = read(tmp_path, content, ONE_LINE)
    assert kept(rows) == [(2, 1, '"a'), (5, 2, "c"), (6, 3, '"d ""e""')]
    assert [fault.line for fault in rows.faults] == [4, 7]


def test_an_open_quote_costs_one_row_and_not_those_below_it(tmp_path):
    rows = read(tmp_path, 'id,text\n1,"open\n2,b\n3,"c"\n4,"open again\n5,e\n')
    assert kept(rows) == [(3, 2, "b"), (4, 3, "c"), (6, 5, "e")]
    assert [fault.fault for fault in rows.faults] == ["a quote is opened and not closed"] * 2
    assert rows.n_in == 5


def test_a_row_broken_over_two_lines_is_one_fault(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,id,text,b\n1,2,3,4\n1,2,thr\nee,4\n1,2\nx\n1,2,3,4\n")
    with open_archive(path) as archive:
        rows = read_delimited(archive, archive.members[0], ["a", "id", "text", "b"], COLUMNS, Format())
    assert [(fault.line, fault.fault, fault.content) for fault in rows.faults] == [
        (3, "a row broken over two lines: 3 + 2 cells where 4 belong", "1,2,thr\nee,4"),
        (5, "2 cells where 4 belong", "1,2"),
        (6, "1 cells where 4 belong", "x"),
    ]
    assert (rows.n_in, rows.table["line"].to_pylist()) == (5, [2, 7])


def test_an_endless_line_is_one_fault_and_is_not_kept(tmp_path):
    content = b"id,text\n1,a\n2," + b"x" * (40 << 20) + b"\n3,c\n"
    rows = read(tmp_path, content)
    assert kept(rows) == [(2, 1, "a"), (4, 3, "c")]
    assert [(fault.line, fault.fault, len(fault.content)) for fault in rows.faults] == [
        (3, "longer than 1,048,576 bytes", 10_000)
    ]


def test_a_byte_order_mark_belongs_to_the_beginning_only(tmp_path):
    rows = read(tmp_path, "\ufeffid,text\n1,a\n\ufeff2,b\n")
    assert kept(rows) == [(2, 1, "a")]
    assert [fault.line for fault in rows.faults] == [3]


def test_the_same_line_fares_alike_in_company_and_alone(tmp_path):
    doubtful = [
        '1,5" disk',
        '1,"a"b',
        "+1,a",
        " 1 ,a",
        '"1",a',
        "0x1,a",
        "1,0x1",
        '1,"',
        "1,\x00",
        "01,a",
        "1,a,",
        '1,a"',
    ]
    for line in doubtful:
        alone = read(tmp_path, f"id,text\n{line}\n")
        with_good = read(tmp_path, f"id,text\n{line}\n7,g\n")
        with_bad = read(tmp_path, f"id,text\n{line}\nbad\n")
        assert kept(with_bad) == kept(alone), line
        assert kept(with_good) == [*kept(alone), (3, 7, "g")], line


def test_a_file_of_nothing_but_faults_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_MALFORMED", 100)
    with pytest.raises(DataError, match="more than 100 malformed rows, the first in line 2: 1 cells where 2 belong"):
        read(tmp_path, "id,text\n" + "x\n" * 101)
    assert len(read(tmp_path, "id,text\n" + "x\n" * 100).faults) == 100
