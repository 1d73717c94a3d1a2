"""A source is recognised by what it holds; rows can be looked up again by their lines."""

import zipfile

import pandas as pd
import pytest

from recsys.errors import DataError, NotFoundError
from recsys.ingest.formats.reading import detect_layout, kept_names, read_source, source_lines

RATINGS = "userId,movieId,rating,timestamp\r\n1,10,4.0,0\r\n\r\n2,11,0.5,0\r\n"


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as zipped:
        for name, text in files.items():
            zipped.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        ({"ratings.csv": RATINGS, "movies.csv": ""}, "csv"),
        ({"x/y/ratings.csv": RATINGS, "x/y/movies.csv": "", "x/extra.csv": "a,b\n"}, "csv"),
        ({"ratings.csv": RATINGS.replace("userId", "user"), "movies.csv": ""}, "tabular"),
        ({"ratings.csv": RATINGS}, "tabular"),
        ({"whatever.data": RATINGS}, "tabular"),
        ({"ml-1m/ratings.dat": "1::2::3::4\n", "ml-1m/movies.dat": ""}, "dat"),
        ({"ml-100k/u.data": "", "ml-100k/u.item": ""}, "100k"),
        ({"ratings_small.csv": RATINGS, "movies_metadata.csv": ""}, "movies-dataset"),
        ({"ratings.csv": RATINGS, "movies_metadata.csv": ""}, "movies-dataset"),
    ],
)
def test_layouts_are_told_apart(tmp_path, files, layout):
    path = write_zip(tmp_path / "named-after-nothing.bin", files)
    assert detect_layout(path) == layout


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>\n<body>a,b,c,d\n", b"\x00\x01\n\x02", b"PK\x03\x04\n"])
def test_what_holds_no_rows_is_refused(tmp_path, content):
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    with pytest.raises(DataError):
        detect_layout(path)


def test_lines_are_looked_up_again(tmp_path):
    path = write_zip(
        tmp_path / "a.zip", {"m/ratings.csv": RATINGS, "m/movies.csv": 'movieId,title,genres\n10,"A, B",\n'}
    )
    assert source_lines(path, "m/ratings.csv", [2, 3, 4, 99]) == {2: "1,10,4.0,0", 4: "2,11,0.5,0"}
    assert source_lines(path, "m/movies.csv", [2]) == {2: '10,"A, B",'}
    assert source_lines(path, "m/movies.csv", []) == {}
    with pytest.raises(NotFoundError, match="tags"):
        source_lines(path, "m/tags.csv", [2])


def test_every_line_that_is_kept_can_be_looked_up(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('user;item;rating;time;note\n1;17;4;0;"a\n\nb"\n2;17;4;0;\n')
    parsed = read_source(path)
    lines = parsed.tables["ratings"]["line"].to_pylist()
    assert source_lines(path, parsed.homes["ratings"][0], lines) == {2: '1;17;4;0;"a\n\nb"', 5: "2;17;4;0;"}


def test_the_older_releases_are_looked_up_in_their_encoding(tmp_path):
    files = {"ratings.dat": "1::1::5::0\n", "movies.dat": "1::Misérables, Les (1995)::Drama\n".encode("latin-1")}
    path = write_zip(tmp_path / "a.zip", files)
    assert source_lines(path, "movies.dat", [1]) == {1: "1::Misérables, Les (1995)::Drama"}


def test_rows_of_parquet_are_looked_up_by_number(tmp_path):
    pd.DataFrame({"user": [1, 2], "item": [5, 6], "rating": [1.0, 2.0], "time": [0, 0]}).to_parquet(
        tmp_path / "a.parquet"
    )
    assert source_lines(tmp_path / "a.parquet", "a.parquet", [2]) == {
        2: '{"user": 2, "item": 6, "rating": 2.0, "time": 0}'
    }


def test_what_is_kept_of_a_folder_includes_names_of_its_own(tmp_path):
    (tmp_path / "events.csv").write_text("user,item,rating,time\n1,17,4,0\n")
    (tmp_path / "secret.txt").write_text("x")
    names = kept_names(tmp_path)
    assert "events.csv" in names
    assert "movies.csv" in names
    assert "secret.txt" not in names
