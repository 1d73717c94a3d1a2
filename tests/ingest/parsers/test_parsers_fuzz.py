"""Whatever is done to a source, each of its rows is in a table or in the quarantine, or a `DataError` says why not.

The judges count by other means than the parsers: lines that are not blank where rows never span lines, Python's
strict CSV reader where they may, the footer of a Parquet file, the directory of a zip file.
"""

import csv
import io
import itertools
import re
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recsys import columns
from recsys.errors import DataError
from recsys.ingest.formats.reading import read_source
from recsys.ingest.parsers import lines

METADATA = (
    b"adult,genres,id,original_language,overview,release_date,title\n"
    b"False,\"[{'id': 16, 'name': 'Animation'}]\",862,en,\"Led by\n\nWoody\",1995-10-30,Toy Story\n"
    b"False,[],8844,en,A board,1995-12-15,Jumanji\nFalse,[],862,en,broken \nhere,1995-12-15,Again\n"
)
GOOD = {
    "ratings.csv": b"userId,movieId,rating,timestamp\r\n"
    + b"".join(b"%d,10,4.0,964982703\r\n" % i for i in range(1, 6)),
    "movies.csv": 'movieId,title,genres\r\n10,"Misérables, Les (1995)",Drama|War\r\n11,Heat (1995),Crime\r\n'.encode(),
    "links.csv": b"movieId,imdbId,tmdbId\r\n10,0114709,862\r\n11,0113277,\r\n12,1,8844\r\n",
    "tags.csv": b'userId,movieId,tag,timestamp\r\n1,10,"so, so",1445714994\r\n',
    "ratings.dat": b"1::10::4::964982703\n2::11::3.5::964982703\n",
    "movies.dat": "10::Toy Story (1995)::Animation|Comedy\n11::Amélie (2001)::Crime\n".encode(),
    "tags.dat": b"1::10::so::so::964982703\n",
    "u.data": b"196\t10\t3\t881250949\n186\t11\t5\t881250949\n",
    "u.item": b"10|Kolya (1996)|24-Jan-1997||http://x|" + b"|".join([b"0"] * 18 + [b"1"]) + b"\n",
    "movies_metadata.csv": METADATA,
    "keywords.csv": b"id,keywords\n862,\"[{'id': 1, 'name': 'toy'}, {'id': 2, 'name': \"\"a 'b'\"\"}]\"\n862,[]\n",
    "credits.csv": b"cast,crew,id\n\"[{'name': 'A'}]\",\"[{'job': 'Director', 'name': 'B\\xe9'}]\",862\n[],[],8844\n",
    "events.csv": b'user,item,rating,time,note\n1,17,4,0,"two\nlines"\n2,18,3.5,7,\n3,17,1,9,"a ""b"""\n',
    "sheet.csv": b"\xef\xbb\xbfsep=;\r\nuser;item;rating;time\r\n1;17;4,5;9\r\n2;18;3;7\r\n3;17;0,5;9\r\n",
    "spark.csv": b'user,item,rating,time\n1,"a \\"b\\" c",4,0\n2,"d",3.5,7\n3,e,1,9\n',
    "texts.csv": b"user,item,rating,time\nann,0017,4,0\nbob,17,3.5,7\n7.0,A,1,9\n",
    "utf16.csv": "user,item,rating,time\n1,17,4,0\n2,18,3.5,7\n3,17,1,9\n".encode("utf-16"),
    "events.tsv": b"uid\tiid\tstars\tdate\n1\t17\t4\t2024-05-31T12:30:00Z\n2\t18\t3.5\t2024-05-31\n",
}
LAYOUTS = {
    "csv": ("ratings.csv", "movies.csv", "links.csv", "tags.csv"),
    "dat": ("ratings.dat", "movies.dat", "tags.dat"),
    "100k": ("u.data", "u.item"),
    "movies-dataset": ("ratings.csv", "links.csv", "movies_metadata.csv", "keywords.csv", "credits.csv"),
    "spreadsheet": ("sheet.csv",),
    "spark": ("spark.csv",),
    "text ids": ("texts.csv",),
    "utf-16": ("utf16.csv",),
    "tabular": ("events.csv",),
    "tabular with tabs": ("events.tsv",),
}
HEADLESS = {"ratings.dat", "movies.dat", "tags.dat", "u.data", "u.item"}
SPICE = st.sampled_from([
    b"", b",", b"::", b"|", b"\t", b'"', b'""', b"\r", b"\n", b"\r\n", b"\x00", b"\xff", b"\xc3", b"nan", b"-1",
    b"1e400", b"9999999999999999999999", b"0x1F", b" ", b"'", b"\\", b"\xef\xbb\xbf", b"tt", b"4.5", b"None", b"\x1a",
    b"[", b"]", b"{", b"}", b"[{'name': 'x'}]", b"\\ud83d", b"__import__('os')", b"862", b'"\n', b'\n"', b"2024-02-30",
])  # fmt: skip
FUZZ = settings(
    max_examples=600, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip


@st.composite
def damage(draw, data, n_most=4):
    """Bytes with up to four pieces put in, some in the place of others."""
    for _ in range(draw(st.integers(1, n_most))):
        start = draw(st.integers(0, len(data)))
        n_gone = draw(st.sampled_from([0, 0, 1, 2, 7]))
        piece = draw(SPICE | st.binary(max_size=6))
        data = data[:start] + piece + data[start + n_gone :]
    return data


@st.composite
def damaged(draw, layouts):
    """The files of a layout, one of them damaged."""
    names = LAYOUTS[draw(st.sampled_from(layouts))]
    victim = draw(st.sampled_from(names))
    return {name: draw(damage(GOOD[name])) if name == victim else GOOD[name] for name in names}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "fuzz.zip"


def read_zip(source, files):
    with zipfile.ZipFile(source, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return read(source)


def read(source):
    """What a source gives, checked for what must hold of every source; None where it is refused."""
    try:
        parsed = read_source(source)
    except DataError:
        return None
    assert {name: table.schema for name, table in parsed.tables.items()} == {
        name: columns.staged_schema(name) for name in columns.SNAPSHOT_TABLES
    }
    for name, table in parsed.tables.items():
        table.validate(full=True)
        assert len(table["line"].unique()) == table.num_rows
        assert all(table[key].null_count == 0 for key in ("user_id", "movie_id", "rating") if key in table.column_names)
        assert name in parsed.homes or table.num_rows == 0
    assert sum(account.n_quarantined for account in parsed.files) == parsed.quarantine.num_rows
    return parsed


def row_lines(parsed, file):
    """Lines of a file's rows, kept or quarantined, where the table of the file has all that are kept."""
    bad = [row["line"] for row in parsed.quarantine.to_pylist() if row["file"] == file]
    tables = {account.table for account in parsed.files if account.file == file} - {"details"}
    good = [line for table in tables for line in parsed.tables[table]["line"].to_pylist()]
    assert len(set(good + bad)) == len(good) + len(bad)
    return sorted(good + bad)


def physical_lines(data):
    return re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf"))


def filled_lines(data, has_header):
    return [number for number, line in enumerate(physical_lines(data), 1) if line and number > has_header]


def is_headed(file, data):
    """Whether the first line, by which a file is recognised, is as it was."""
    first = GOOD[file].splitlines(keepends=True)[0]
    return data.startswith(first)


def check_rows(parsed, files):
    for account in parsed.files:
        file = account.file
        if not is_headed(file, files[file]):
            continue
        if file in HEADLESS:
            expected = filled_lines(files[file], has_header=False)
            assert row_lines(parsed, file) == expected
            assert account.n_in == len(expected)
        elif account.table != "details":
            check_spanning_rows(parsed, file, files[file], ",")


def check_spanning_rows(parsed, file, data, delimiter):
    """Rows cover all lines; what covers several is one row for a strict reader too, or a quarantined broken one."""
    starts = row_lines(parsed, file)
    filled = filled_lines(data, has_header=True)
    assert starts[:1] == filled[:1]
    physical = physical_lines(data)
    broken = {row["line"] for row in parsed.quarantine.to_pylist() if "broken over two" in row["fault"]}
    for start, after in itertools.pairwise([*starts, len(physical) + 1]):
        covered = physical[start - 1 : after - 1]
        if any(covered[1:]) and start not in broken:
            text = b"\n".join(covered).decode(errors="replace").rstrip("\n")
            assert (
                len([row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row])
                == 1
            )


@given(files=damaged(["csv", "dat", "100k"]), block_bytes=st.sampled_from([17, 100, 1 << 20]))
@example(
    files={**{n: GOOD[n] for n in LAYOUTS["csv"]}, "tags.csv": b'userId,movieId,tag,timestamp\r\n1,1,"open'},
    block_bytes=9,
)
@example(
    files={**{n: GOOD[n] for n in LAYOUTS["csv"]}, "movies.csv": b"movieId,title,genres\r1,a (1999),b\r"}, block_bytes=9
)
@settings(FUZZ, max_examples=1_000)
def test_every_line_of_movielens_is_accounted_for(source, files, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        parsed = read_zip(source, files)
    if parsed:
        check_rows(parsed, files)


@given(files=damaged(["movies-dataset"]), block_bytes=st.sampled_from([17, 100, 1 << 20]))
@FUZZ
def test_every_row_of_the_movies_dataset_is_accounted_for(source, files, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        parsed = read_zip(source, files)
    if parsed and parsed.layout == "movies-dataset":
        check_rows(parsed, files)
        for account in parsed.files:
            if account.table == "details" and files[account.file] == GOOD[account.file]:
                assert account.n_in == 2


@given(files=damaged(["spreadsheet", "spark", "text ids", "utf-16"]), block_bytes=st.sampled_from([17, 100, 1 << 20]))
@FUZZ
def test_every_row_of_other_tools_tables_is_accounted_for(source, files, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        parsed = read_zip(source, files)
    if parsed:
        ((file, data),) = files.items()
        starts = row_lines(parsed, file)
        assert parsed.files[0].n_in == len(starts)
        is_broken = any("broken over two" in fault for fault in parsed.quarantine["fault"].to_pylist())
        if b'"' not in data and not is_broken and is_headed(file, data) and file != "utf16.csv":
            n_above = 1 + (file == "sheet.csv")
            assert starts == [line for line in filled_lines(data, has_header=False) if line > n_above]
        if data == GOOD[file]:
            assert len(starts) == 3


@given(files=damaged(["tabular", "tabular with tabs"]), block_bytes=st.sampled_from([17, 100, 1 << 20]))
@FUZZ
def test_every_row_of_any_table_is_accounted_for(source, files, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        parsed = read_zip(source, files)
    if parsed and re.match(rb"user,|uid\t", next(iter(files.values()))):
        ((file, data),) = files.items()
        check_spanning_rows(parsed, file, data, "\t" if file == "events.tsv" else ",")


def parquet_bytes():
    buffer = io.BytesIO()
    table = pa.table({
        "user": pa.array([1, 2, None, 4]), "item": pa.array([17.0, 18.0, 17.0, 0.5]), "rating": [4.0, 3.0, 2.0, 1.0],
        "time": ["2024-05-31", "soon", "2024-05-31", "1970-01-01"], "note": ["a", "b", "c", "d"],
    })  # fmt: skip
    pq.write_table(table, buffer)
    return buffer.getvalue()


@given(data=damage(parquet_bytes(), n_most=2))
@example(data=parquet_bytes())
@settings(FUZZ, max_examples=300)
def test_every_row_of_parquet_is_accounted_for(source, data):
    path = source.with_name("fuzz.parquet")
    path.write_bytes(data)
    if parsed := read(path):
        n_rows = pq.read_metadata(path).num_rows
        assert parsed.files[0].n_in == n_rows
        assert row_lines(parsed, "fuzz.parquet") == list(range(1, n_rows + 1))


def zip_bytes(layout, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in LAYOUTS[layout]:
            archive.writestr(zipfile.ZipInfo(f"wrap/{name}"), GOOD[name], method)
    return buffer.getvalue()


@given(
    data=st.sampled_from([(layout, method) for layout in ("csv", "movies-dataset") for method in (0, 8)]).flatmap(
        lambda made: damage(zip_bytes(*made), n_most=2)
    )
)
@settings(FUZZ, max_examples=300)
def test_a_damaged_archive_is_refused_or_holds_what_it_held(source, data):
    source.write_bytes(data)
    parsed = read(source)
    if parsed:
        with zipfile.ZipFile(source) as archive:
            for account in parsed.files:
                name = account.file.split("/")[-1]
                if name in LAYOUTS["csv"]:
                    assert account.n_in == len(filled_lines(archive.read(account.file), has_header=True))
