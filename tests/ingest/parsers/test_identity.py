"""Ids are never merged: what are 32-bit integers stay so, all others are numbered with a dictionary."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.parsers.identity import KnownIds


def source(tmp_path, users, items, **files):
    rows = [f"{user},{item},4,1543727664" for user, item in zip(users, items, strict=True)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating,time", *rows]) + "\n")
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def pairs(parsed):
    """The ratings under the source's own ids."""
    names = [
        dict(zip(*(column.to_pylist() for column in parsed.ids[name].columns), strict=True))
        if name in parsed.ids
        else {}
        for name in ("user_ids", "movie_ids")
    ]
    ratings = parsed.tables["ratings"]
    columns = (ratings["user_id"].to_pylist(), ratings["movie_id"].to_pylist())
    return [
        tuple(name.get(value, value) for name, value in zip(names, row, strict=True))
        for row in zip(*columns, strict=True)
    ]


def test_integers_stay_as_they_are(tmp_path):
    parsed = read_source(source(tmp_path, [3, 0, 2147483647], [7, 7, 1]))
    assert parsed.ids == {}
    assert parsed.tables["ratings"].schema.field("user_id").type == pa.int32()
    assert pairs(parsed) == [(3, 7), (0, 7), (2147483647, 1)]


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["42.0", "7.0"], [42, 7]),  # as pandas writes them
        (["0042", "0007"], [42, 7]),  # zeros that tell nothing apart
        (["42", "7.0"], [42, 7]),
        ([" 42", "7 "], [42, 7]),
    ],
)
def test_integers_in_other_spellings_are_integers(tmp_path, texts, ids):
    parsed = read_source(source(tmp_path, texts, [1, 1]))
    assert parsed.ids == {}
    assert parsed.tables["ratings"]["user_id"].to_pylist() == ids


def test_zeros_that_one_file_writes_and_another_does_not_tell_nothing_apart(tmp_path):
    movies = "item_id,title\n42,Heat (1995)\n7,Ran (1985)\n"
    parsed = read_source(source(tmp_path, [1, 2], ["0042", "0007"], movies=movies))
    assert parsed.ids == {}
    assert (
        parsed.tables["ratings"]["movie_id"].to_pylist() == parsed.tables["movies"]["movie_id"].to_pylist() == [42, 7]
    )


@pytest.mark.parametrize(
    "texts",
    [
        ["0004", "4", "004"],
        ["A17", "a17", "17"],
        ["6fa459ea-ee8a-3ca4-894e-db77e160355e", "16fd2706-8baf-433b-82eb-8c7fada847da", "x"],
        ["034500873X", "0345008739", "345008739"],
        ["9223372036854775807", "9223372036854775806", "12345678901234567890123"],
        ["2147483648", "1", "0"],
        ["0x1F", "31", "1F"],
    ],
)
def test_ids_are_never_merged(tmp_path, texts):
    parsed = read_source(source(tmp_path, texts, texts))
    assert pairs(parsed) == [(text, text) for text in texts]
    assert parsed.tables["ratings"]["user_id"].to_pylist() == [1, 2, 3]
    assert parsed.tables["movies"]["title"].to_pylist() == [f"Movie {text}" for text in texts]
    assert parsed.quarantine.num_rows == 0


def test_large_integers_of_parquet_are_exact(tmp_path):
    large = [2**53, 2**53 + 1, 5]
    table = pa.table({"user": large, "item": [1, 2, 3], "rating": [4.0] * 3, "time": [1543727664] * 3})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [user for user, _ in pairs(read_source(tmp_path / "a.parquet"))] == [str(value) for value in large]


def test_one_movie_has_one_number_in_all_tables(tmp_path):
    files = {
        "movies": "item_id,title,genres\nB,Ran,\nA,Heat,\n",
        "links": "movie_id,imdb_id,tmdb_id\nA,tt0113277,949\n",
        "tags": "user,item,tag,time\nbob,B,war,1543727664\n",
    }
    parsed = read_source(source(tmp_path, ["ann", "bob"], ["A", "B"], **files))
    tables = parsed.tables
    assert dict(zip(tables["movies"]["title"].to_pylist(), tables["movies"]["movie_id"].to_pylist(), strict=True)) == {
        "Heat": 1, "Ran": 2,
    }  # fmt: skip
    assert (tables["links"]["movie_id"].to_pylist(), tables["tags"]["movie_id"].to_pylist()) == ([1], [2])
    assert tables["tags"]["user_id"].to_pylist() == [2]


def test_a_few_broken_ids_among_integers_are_faults_and_any_text_is_an_id_where_said_so(tmp_path):
    users = [*map(str, range(1, 100)), "ann"]
    path = source(tmp_path, users, [1] * 100)
    parsed = read_source(path)
    assert parsed.ids == {}
    (row,) = parsed.quarantine.to_pylist()
    assert (row["line"], row["content"]) == (101, "ann,1,4,1543727664")
    assert "with ids=text any text is an id" in row["fault"]
    assert [(account.n_in, account.n_out) for account in parsed.files] == [(100, 99)]
    assert read_source(path, ReadOptions(ids="text")).ids["user_ids"].num_rows == 100


def test_numbers_whose_digits_are_lost_are_faults(tmp_path):
    users = [str(10**12 + i) for i in range(50)] + ["1.23E+12"]
    parsed = read_source(source(tmp_path, users, [1] * 51))
    assert parsed.quarantine["line"].to_pylist() == [52]
    assert "a number whose last digits are lost" in parsed.quarantine["fault"][0].as_py()
    assert parsed.ids["user_ids"].num_rows == 50


@pytest.mark.parametrize("missing", ["", "NULL", "nan", "\\N"])
def test_what_is_missing_is_no_id(tmp_path, missing):
    parsed = read_source(source(tmp_path, ["ann", missing, "bob"], [1, 2, 3]))
    assert parsed.quarantine["line"].to_pylist() == [3]
    assert [user for user, _ in pairs(parsed)] == ["ann", "bob"]


def test_an_increment_extends_the_dictionary_and_renumbers_nothing(tmp_path):
    base = read_source(source(tmp_path, ["ann", "bob"], [1, 1]))
    known = {
        "user_ids": KnownIds(pa.array([1, 2], pa.int32()), base.ids["user_ids"]),
        "movie_ids": KnownIds(pa.array([1], pa.int32())),
    }
    more = read_source(source(tmp_path, ["cid", "bob"], [1, 2]), base=known)
    assert more.ids["user_ids"]["source_id"].to_pylist() == ["ann", "bob", "cid"]
    assert more.tables["ratings"]["user_id"].to_pylist() == [3, 2]
    assert "movie_ids" not in more.ids


def test_text_ids_on_top_of_integers_keep_the_integers(tmp_path):
    known = {name: KnownIds(pa.array([5, 9], pa.int32())) for name in ("user_ids", "movie_ids")}
    parsed = read_source(source(tmp_path, ["9", "ann"], [5, 5]), base=known)
    assert parsed.ids["user_ids"].to_pylist() == [
        {"user_id": 5, "source_id": "5"}, {"user_id": 9, "source_id": "9"}, {"user_id": 10, "source_id": "ann"},
    ]  # fmt: skip
    assert parsed.tables["ratings"]["user_id"].to_pylist() == [9, 10]
