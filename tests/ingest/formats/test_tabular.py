"""Any table of ratings is read, whatever its columns, its delimiter, its packing and its spelling of time."""

import gzip
import zipfile
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError, DataError
from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import ReadOptions

INSTANT = datetime(2024, 5, 31, 12, 30, tzinfo=UTC)
NO_ID = "not a whole number in [0, 2147483647] as other ids are (with ids=text any text is an id)"
SECONDS = 1_717_158_600


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def quarantined(parsed):
    return list(zip(parsed.quarantine["line"].to_pylist(), parsed.quarantine["fault"].to_pylist(), strict=True))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "header", ["userId movieId rating timestamp", "UID iid Stars ts", "User-ID item_id score Date"]
)
def test_usual_names_and_delimiters_are_recognised(tmp_path, delimiter, header):
    rows = [header.split(), ("1", "17", "4.5", str(SECONDS)), ("2", "9", "3", str(SECONDS))]
    parsed = read_source(write(tmp_path / "mine.txt", "\n".join(map(delimiter.join, rows))))
    assert parsed.layout == "tabular"
    assert parsed.tables["ratings"].to_pylist() == [
        {"user_id": 1, "movie_id": 17, "rating": 4.5, "timestamp": INSTANT, "line": 2},
        {"user_id": 2, "movie_id": 9, "rating": 3.0, "timestamp": INSTANT, "line": 3},
    ]
    assert parsed.tables["movies"].select(["movie_id", "title", "genres"]).to_pylist() == [
        {"movie_id": 17, "title": "Movie 17", "genres": []},
        {"movie_id": 9, "title": "Movie 9", "genres": []},
    ]


@pytest.mark.parametrize(
    "time",
    [
        str(SECONDS),
        f"{SECONDS}.0",
        f"{SECONDS}000",
        "2024-05-31T12:30:00Z",
        "2024-05-31 12:30:00",
        "2024-05-31T14:30:00+02:00",
        "2024-05-31T14:30:00.000999+0200",
        "20240531T123000Z",
    ],
)
def test_times_are_understood_in_each_spelling(tmp_path, time):
    path = write(tmp_path / "mine.csv", f"user,item,rating,time,note\n1,17,4,{time},\n")
    assert read_source(path).tables["ratings"]["timestamp"].to_pylist() == [INSTANT]


def test_spellings_of_text_may_be_mixed_and_what_is_no_time_is_quarantined(tmp_path):
    times = ["2024-05-31T12:30:00Z", "2024-05-31", "2024-02-31", "soon", "1969-12-31", ""]
    path = write(
        tmp_path / "mine.csv", "user,item,rating,time\n" + "".join(f"1,{i},4,{t}\n" for i, t in enumerate(times))
    )
    parsed = read_source(path)
    assert parsed.tables["ratings"]["timestamp"].to_pylist() == [INSTANT, datetime(2024, 5, 31, tzinfo=UTC)]
    assert [line for line, _ in quarantined(parsed)] == [4, 5, 6, 7]
    assert quarantined(parsed)[1][1] == "time is 'soon', not a time such as 2024-05-31T12:30:00Z, 1970 or later"


def test_other_names_are_said_by_a_mapping(tmp_path):
    path = write(tmp_path / "mine.csv", "who;what;how;when\n1;17;4;0\n")
    with pytest.raises(
        DataError,
        match=r"columns who, what, how, when, none of them known as user_id or movie_id .* columns=user_id=…,movie",
    ):
        read_source(path)
    mapping = {"user_id": "who", "movie_id": "what", "rating": "how", "timestamp": "when"}
    assert read_source(path, ReadOptions(mapping)).tables["ratings"]["movie_id"].to_pylist() == [17]
    with pytest.raises(DataError, match="none of them known as timestamp"):
        read_source(path, ReadOptions({**mapping, "timestamp": "whenever"}))
    with pytest.raises(ConfigError, match="columns names stars; known are user_id, movie_id, rating, timestamp"):
        read_source(path, ReadOptions({"stars": "how"}))
    with pytest.raises(DataError, match=r"column who, taken for user_id, .* named for another"):
        read_source(path, ReadOptions({**mapping, "movie_id": "who"}))


def test_two_columns_that_could_be_the_same_are_not_chosen_between(tmp_path):
    path = write(tmp_path / "mine.csv", "user,item,movie,rating,time\n1,17,99,4,0\n")
    with pytest.raises(DataError, match=r"columns item and movie could both be movie_id.* columns=movie_id=item or"):
        read_source(path)
    assert read_source(path, ReadOptions({"movie_id": "item"})).tables["ratings"]["movie_id"].to_pylist() == [17]


def test_a_few_bad_rows_are_quarantined_over_their_lines(tmp_path):
    text = (
        'user,item,rating,time,review\n1,17,4,0,"two\nlines"\nann,17,4,0,\n2,17,x,0,\n3,17,5,0,"open\n4,17,5,0,fine\n'
    )
    parsed = read_source(write(tmp_path / "mine.csv", text), ReadOptions(ids="number"))
    assert parsed.tables["ratings"]["line"].to_pylist() == [2, 7]
    assert sorted(quarantined(parsed)) == [
        (4, f"user_id is 'ann', {NO_ID}"),
        (5, "rating is 'x', not a finite number"),
        (6, "a quote is opened and not closed"),
    ]
    assert parsed.files[0].n_in == 5


def test_gzip_folders_and_archives_with_other_files_are_looked_through(tmp_path):
    csv = b"user,item,rating,time\n1,17,4,0\n"
    expected = read_source(write(tmp_path / "mine.csv", csv)).tables["ratings"]
    folder = tmp_path / "folder" / "deep" / "deeper"
    folder.mkdir(parents=True)
    write(folder / "events.csv.gz", gzip.compress(csv))
    write(folder / "LICENSE", "Do as you like,\nbut not, ever, with, malice.\n")
    write(folder / "notes.json", '{"a": 1}')
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as zipped:
        for file in folder.iterdir():
            zipped.write(file, f"a/b/{file.name}")
    for path in (folder / "events.csv.gz", tmp_path / "folder", tmp_path / "mine.zip"):
        assert read_source(path).tables["ratings"] == expected


def test_movies_beside_the_ratings_give_titles(tmp_path):
    write(tmp_path / "ratings.csv", "user,item,rating,time\n1,17,4,0\n")
    write(tmp_path / "movies.csv", "movieId,title,genres\n17,Heat (1995),Crime|Drama\n")
    parsed = read_source(tmp_path)
    assert parsed.tables["movies"].drop_columns("line").to_pylist() == [
        {"movie_id": 17, "title": "Heat (1995)", "year": 1995, "genres": ["Crime", "Drama"]}
    ]


def test_several_files_that_fit_are_not_chosen_between(tmp_path):
    for name in ("train.csv", "test.csv"):
        write(tmp_path / name, "user,item,rating,time\n1,17,4,0\n")
    with pytest.raises(DataError, match=r"test\.csv, train\.csv could all be the ratings"):
        read_source(tmp_path)
    assert read_source(tmp_path, ReadOptions(ratings_file="train.csv")).files[0].file == "train.csv"


def test_parquet_is_read_in_every_type_that_makes_sense(tmp_path):
    table = pa.table({
        "user_id": pa.array(["1", "2"]).dictionary_encode(),
        "item_id": pa.array([17.0, 18.0]),
        "rating": pa.array([4, 5], pa.uint8()),
        "timestamp": pa.array([datetime(2024, 5, 31, 12, 30), datetime(2024, 5, 31)], pa.timestamp("ns")),  # noqa: DTZ001
        "nested": pa.array([[1], [2]]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "mine.parquet")
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as zipped:
        zipped.write(tmp_path / "mine.parquet", "x/mine.parquet")
    for name in ("mine.parquet", "mine.zip"):
        assert read_source(tmp_path / name).tables["ratings"].to_pylist() == [
            {"user_id": 1, "movie_id": 17, "rating": 4.0, "timestamp": INSTANT, "line": 1},
            {"user_id": 2, "movie_id": 18, "rating": 5.0, "timestamp": datetime(2024, 5, 31, tzinfo=UTC), "line": 2},
        ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([SECONDS], pa.int64()), INSTANT),
        (pa.array([SECONDS * 1000.0]), INSTANT),
        (pa.array([str(SECONDS)]), INSTANT),
        (pa.array(["2024-05-31T14:30+02:00"]), INSTANT),
        (pa.array([INSTANT], pa.timestamp("us", tz="America/Lima")), INSTANT),
        (pa.array([date(2024, 5, 31)]), datetime(2024, 5, 31, tzinfo=UTC)),
    ],
)
def test_times_of_parquet(tmp_path, times, expected):
    pq.write_table(pa.table({"user": [1], "item": [17], "rating": [4.0], "time": times}), tmp_path / "mine.parquet")
    assert read_source(tmp_path / "mine.parquet").tables["ratings"]["timestamp"].to_pylist() == [expected]


def test_bad_rows_of_parquet_are_quarantined_by_their_number(tmp_path):
    table = pa.table({
        "user": pa.array([1, None, 2**40, 4, 5, 6]),
        "item": pa.array([17.0, 17.0, 17.0, 17.5, 17.0, 17.0]),
        "rating": pa.array([4.0, 4.0, 4.0, 4.0, float("nan"), 4.0]),
        "time": pa.array([0, 0, 0, 0, 0, -1]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "mine.parquet")
    parsed = read_source(tmp_path / "mine.parquet", ReadOptions(ids="number"))
    assert parsed.tables["ratings"]["line"].to_pylist() == [1]
    rows = sorted(parsed.quarantine.to_pylist(), key=lambda row: row["line"])
    assert [(row["line"], row["fault"]) for row in rows] == [
        (2, "user is '', not an id"),
        (3, f"user_id is '1099511627776', {NO_ID}"),
        (4, f"movie_id is '17.5', {NO_ID}"),
        (5, "rating is 'nan', not a finite number"),
        (6, "time is '-1', not a time in seconds"),
    ]
    assert rows[2]["content"] == '{"user": 4, "item": 17.5, "rating": 4.0, "time": 0}'


def test_a_gzip_bomb_is_refused(tmp_path):
    bomb = gzip.compress(b"user,item,rating,time\n" + b"1,17,4,0\n" * 8_000_000)
    with pytest.raises(DataError, match="over 200 times its size"):
        read_source(write(tmp_path / "mine.csv.gz", bomb))


def test_a_damaged_gzip_is_refused(tmp_path):
    packed = gzip.compress(b"user,item,rating,time\n1,17,4,0\n")
    with pytest.raises(DataError, match="is damaged"):
        read_source(write(tmp_path / "mine.csv.gz", packed[:-6]))
