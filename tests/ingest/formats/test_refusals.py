"""What is refused, as a stranger meets it: the message names the file, the fact and the next step, in a few lines."""

import gzip
import os
import struct
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.inspection import inspect_source

RATINGS = "user,item,rating,time\n1,10,4,0\n"


def zipped(**members):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name.replace("__", "/").replace("_", "."), data)

    return write


def inner_zip(path):
    zipped(ratings_csv=RATINGS)(path)
    data = path.read_bytes()
    path.unlink()
    zipped(inner_zip=data, ratings_md="x")(path)


def locked(path):
    zipped(ratings_csv=RATINGS)(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def parquet(**columns):
    return lambda path: pq.write_table(pa.table(columns), path)


def folder(**files):
    def write(path):
        path.mkdir()
        for name, text in files.items():
            (path / name.replace("_", ".")).write_text(text)

    return write


def linked(path):
    path.mkdir()
    (path / "ratings.csv").symlink_to("/etc/hostname")


CASES = {
    "empty.csv": (b"", r"empty.csv is no table: it is empty\. .*Give a CSV or Parquet file with the columns user_id"),
    "blank.csv": (b"\n\n\n", r"blank.csv is no table: it is empty"),
    "one.csv": (b"user_id\n1\n", r"one.csv is no table: it has a single column"),
    "header.csv": (RATINGS[:22].encode(), r"header.csv holds no ratings: it has no rows\. .*a row for each rating"),
    "list.json": (b'[{"user": 1}]', r"list.json is no table: it holds JSON"),
    "random.bin": (bytes(range(256)) * 9, r"random.bin is no table: it is no text"),
    "noise.csv": (b",".join(struct.pack("<Q", 0x9E3779B97F4A7C15 * i % 2**64) for i in range(1, 300)), "is no text"),
    "packed.7z": (b"7z\xbc\xaf\x27\x1c" + b"a,b,c,d\n" * 9, r"packed.7z is an archive that is not opened"),
    "tape.tar": (b"a.csv".ljust(257, b"0") + b"ustar" + RATINGS.encode(), r"tape.tar is an archive that is not"),
    "outer.zip": (inner_zip, r"outer.zip: inner.zip is an archive in an archive that is not opened\. .*Unpack it"),
    "book.xlsx": (zipped(xl__workbook_xml="<x/>"), r"spreadsheet's workbook\. .*Save the sheet as CSV"),
    "locked.zip": (locked, r"'ratings.csv' is encrypted\. .*Unpack the archive with its password, and"),
    "cut.csv.gz": (gzip.compress(os.urandom(999))[:-9], r"cut.csv is damaged \(.*\)\. .*Fetch the archive again"),
    "struct.parquet": (
        parquet(user=[{"a": 1}], item=[1], rating=[4.0], time=[0]),
        r"struct.parquet: column user is of type struct<a: int64>, not an id\. .*Write the column as numbers or text",
    ),
    "bool.parquet": (
        parquet(user=[True], item=[1], rating=[4.0], time=[0]), r"bool.parquet: column user is of type bool, not an id"
    ),
    "none.parquet": (
        parquet(user=pa.array([], pa.int64()), item=pa.array([], pa.int64()), rating=pa.array([], pa.float64()),
                time=pa.array([], pa.int64())), r"none.parquet holds no ratings: it has no rows",
    ),
    "wide.csv": (
        ",".join(["\x1b[2J" + "x" * 99] * 99).encode() + b"\n", r"has the columns .* and 79 more, none of them known",
    ),
    "nothing": (folder(), "found no files at all"),
    "link": (linked, r"'ratings.csv' is a symbolic link\. Nothing was read or stored\. Put the file itself there\.$"),
    "ml": (folder(u_data="1\t2\t3\t4\n"), r"looked for u.item; found u.data\. .* Put u.item beside the other files"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_source_is_refused_in_a_few_words(tmp_path, name):
    write, sentence = CASES[name]
    path = tmp_path / name
    if callable(write):
        write(path)
    else:
        path.write_bytes(write)
    with pytest.raises(DataError, match=sentence) as refused:
        read_source(path)
    text = str(refused.value)
    assert len(text) < (400 if name != "wide.csv" else 1_400)
    assert text.isprintable()
    assert "Nothing was" in text


def test_a_setting_that_names_no_column_is_in_the_message(tmp_path):
    (tmp_path / "a.csv").write_text(RATINGS)
    with pytest.raises(DataError, match=r"none of them known as user_id \(columns=user_id=nobody was given\)"):
        read_source(tmp_path / "a.csv", ReadOptions({"user_id": "nobody"}))


@pytest.mark.parametrize("name", ["movie_ratings.csv", "movies.csv", "item-scores.csv", "link.csv"])
def test_ratings_may_be_in_a_file_that_is_called_as_movies_are(tmp_path, name):
    (tmp_path / name).write_text(RATINGS)
    assert read_source(tmp_path / name).tables["ratings"].num_rows == 1


def test_no_scale_is_proposed_for_ratings_that_were_not_read(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,rating,time\n1,10,good,0\n")
    found = inspect_source(tmp_path / "a.csv")
    assert found.scale == ""
    assert not any("rating_scale" in doubt for doubt in found.doubts)
    assert "line 2: rating is 'good'" in found.doubts[0]


def test_files_of_one_kind_are_refused_in_one_sentence(tmp_path):
    for number in range(5):
        (tmp_path / f"test-{number}.csv").write_text("user_id,movie_id\n1,2\n")
    with pytest.raises(DataError) as caught:
        read_source(tmp_path)
    assert "test-0.csv (as 4 other files) has the columns user_id, movie_id, none" in str(caught.value)
    assert "test-1.csv" not in str(caught.value)
