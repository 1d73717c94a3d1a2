"""Every layout of MovieLens arrives as the same canonical tables; what is malformed is set aside by file and line."""

import zipfile
from datetime import UTC, datetime

import pytest

from recsys import columns
from recsys.errors import DataError
from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import ReadOptions

NO_ID = "not a whole number in [0, 2147483647] as other ids are (with ids=text any text is an id)"
CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\r\n1,10,4.0,964982703\r\n2,11,0.5,0\r\n",
    "movies.csv": (
        "movieId,title,genres\r\n"
        "10,Toy Story (1995),Adventure|Children\r\n"
        '11,"Misérables, Les (1995)",Drama\r\n'
        '12,"The ""Quoted"" One",(no genres listed)\r\n'
    ),
    "links.csv": "movieId,imdbId,tmdbId\r\n10,0114709,862\r\n11,12345678,\r\n12,,\r\n",
    "tags.csv": 'userId,movieId,tag,timestamp\r\n1,10,"funny, very",1445714994\r\n',
}


@pytest.fixture
def archive(tmp_path):
    def write(files, folder="ml-test/"):
        path = tmp_path / "ml-test.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                zipped.writestr(folder + name, content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read_tables(path):
    """Layout and tables without their lines, of a source in which every row is good."""
    parsed = read_source(path)
    assert parsed.quarantine.num_rows == 0
    return parsed.layout, {name: table.drop_columns("line") for name, table in parsed.tables.items()}


def lines_and_faults(parsed):
    return list(zip(*(parsed.quarantine[name].to_pylist() for name in ("line", "fault")), strict=True))


@pytest.mark.parametrize("folder", ["ml-test/", "", "a/b/"])
def test_csv_becomes_canonical_tables(archive, folder):
    layout, tables = read_tables(archive(CSV, folder))
    assert layout == "csv"
    assert {name: table.schema for name, table in tables.items()} == columns.SNAPSHOT_TABLES
    assert tables["ratings"].to_pylist() == [
        {"user_id": 1, "movie_id": 10, "rating": 4.0, "timestamp": datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)},
        {"user_id": 2, "movie_id": 11, "rating": 0.5, "timestamp": datetime(1970, 1, 1, tzinfo=UTC)},
    ]
    assert tables["movies"].to_pylist() == [
        {"movie_id": 10, "title": "Toy Story (1995)", "year": 1995, "genres": ["Adventure", "Children"]},
        {"movie_id": 11, "title": "Misérables, Les (1995)", "year": 1995, "genres": ["Drama"]},
        {"movie_id": 12, "title": 'The "Quoted" One', "year": None, "genres": []},
    ]
    assert tables["links"].to_pylist() == [
        {"movie_id": 10, "imdb_id": "tt0114709", "tmdb_id": 862},
        {"movie_id": 11, "imdb_id": "tt12345678", "tmdb_id": None},
        {"movie_id": 12, "imdb_id": None, "tmdb_id": None},
    ]
    assert tables["tags"]["tag"].to_pylist() == ["funny, very"]


def test_a_folder_reads_like_its_archive(archive, tmp_path):
    _, from_zip = read_tables(archive(CSV))
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "ml-test.zip") as zipped:
        zipped.extractall(folder)
    assert read_tables(folder)[1] == from_zip


def test_line_feeds_a_byte_order_mark_another_column_order_and_extra_columns_are_fine(archive):
    ratings = "\ufefftimestamp,rating,extra,movieId,userId\n964982703,4.0,x,10,1\n\n0,0.5,y,11,2\n"
    assert (
        read_tables(archive({**CSV, "ratings.csv": ratings}))[1]["ratings"] == read_tables(archive(CSV))[1]["ratings"]
    )


def test_links_and_tags_are_optional(archive):
    _, tables = read_tables(archive({name: CSV[name] for name in ("ratings.csv", "movies.csv")}))
    assert (tables["links"].num_rows, tables["tags"].num_rows) == (0, 0)
    assert tables["links"].schema == columns.LINKS


def test_ml_1m_is_latin_1_and_titles_may_hold_colons(archive):
    files = {
        "ratings.dat": "1::1193::5::978300760\n2::661::3.5::978302109\n",
        "movies.dat": "1193::Misérables, Les: A Story (1995)::Drama|Musical\n".encode("latin-1"),
    }
    layout, tables = read_tables(archive(files))
    assert layout == "dat"
    assert tables["ratings"]["rating"].to_pylist() == [5.0, 3.5]
    assert tables["movies"].to_pylist() == [
        {
            "movie_id": 1193,
            "title": "Misérables, Les: A Story (1995)",
            "year": 1995,
            "genres": ["Drama", "Musical"],
        }
    ]


def test_ml_10m_is_utf_8_and_has_tags(archive):
    files = {
        "ratings.dat": "1::122::5::838985046\n",
        "movies.dat": "122::Amélie (2001)::Comedy\n",
        "tags.dat": "15::122::a::b::1215184630\n",
    }
    _, tables = read_tables(archive(files))
    assert tables["movies"]["title"].to_pylist() == ["Amélie (2001)"]
    assert tables["tags"]["tag"].to_pylist() == ["a::b"]


def test_ml_100k_spells_genres_as_flags(archive):
    flags = ["0"] * 19
    flags[5], flags[14] = "1", "1"  # Comedy, Romance
    unknown = ["1"] + ["0"] * 18
    files = {
        "u.data": "196\t242\t3\t881250949\n",
        "u.item": (
            "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/x|" + "|".join(flags) + "\n"
            "267|unknown||||" + "|".join(unknown) + "\n"
        ).encode("latin-1"),
    }
    layout, tables = read_tables(archive(files))
    assert layout == "100k"
    assert tables["movies"].to_pylist() == [
        {"movie_id": 242, "title": "Kolya (1996)", "year": 1996, "genres": ["Comedy", "Romance"]},
        {"movie_id": 267, "title": "unknown", "year": None, "genres": []},
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "words"),
    [
        ("ratings.csv", "2,11,0.5,0", "2,11,0.5", 3, "3 cells where 4 belong"),
        ("ratings.csv", "2,11,0.5,0", "2,11,0.5,0,9", 3, "5 cells where 4 belong"),
        ("ratings.csv", "2,11,0.5,0", "2,11,good,0", 3, "rating is 'good', not a finite number"),
        ("ratings.csv", "2,11,0.5,0", "2,11,nan,0", 3, "rating is 'nan', not a finite number"),
        ("ratings.csv", "2,11,0.5,0", "2,11,1e99,0", 3, "rating is '1e99', not a finite number"),
        ("ratings.csv", "2,11,0.5,0", "2,,0.5,0", 3, "movieId is '', not an id"),
        ("ratings.csv", "2,11,0.5,0", "0x1F,11,0.5,0", 3, f"user_id is '0x1F', {NO_ID}"),
        ("ratings.csv", "2,11,0.5,0", "2.5,11,0.5,0", 3, f"user_id is '2.5', {NO_ID}"),
        ("ratings.csv", "2,11,0.5,0", "99999999999,11,0.5,0", 3, f"user_id is '99999999999', {NO_ID}"),
        ("ratings.csv", "2,11,0.5,0", "-2,11,0.5,0", 3, f"user_id is '-2', {NO_ID}"),
        ("ratings.csv", "2,11,0.5,0", "2,11,1,300000000000", 3, "timestamp is '300000000000', not a time in seconds"),
        ("ratings.csv", "1,10,", "\r\n\r\n1,", 4, "3 cells where 4 belong"),  # blank lines count as lines
        ("movies.csv", "10,Toy", '10,"Toy', 2, "a quote is opened and not closed"),
        ("links.csv", "0114709", "nm0114709", 2, "imdbId is 'nm0114709', not an IMDb id such as tt0114709"),
        ("tags.csv", ",1445714994", ",later", 2, "timestamp is 'later', not a time such as 2024-05-31T12:30:00Z, "
         "1970 or later"),
    ],
)  # fmt: skip
def test_a_malformed_row_is_quarantined_and_the_rest_is_kept(archive, name, old, new, line, words):
    assert old in CSV[name]
    content = CSV[name].replace(old, new)
    numbers = ReadOptions(ids="number")
    whole, parsed = read_source(archive(CSV)), read_source(archive({**CSV, name: content}), numbers)
    table = name.removesuffix(".csv")
    row = parsed.quarantine.to_pylist()[0]
    assert (row["table"], row["file"], row["line"]) == (table, f"ml-test/{name}", line)
    assert (row["reason"], row["fault"]) == ("malformed", words)
    assert row["content"] == content.splitlines()[line - 1]
    assert parsed.tables[table].num_rows == whole.tables[table].num_rows - 1
    assert {**parsed.tables, table: None} == {**whole.tables, table: None}


@pytest.mark.parametrize(
    ("files", "line", "words"),
    [
        ({"ratings.dat": "1::2::3::4\n1::2:x:3::4\n"}, 2, "3 cells where 4 belong"),
        ({"ratings.dat": "1::2::3::4\n1,2,3,4\n"}, 2, "1 cells where 4 belong"),
        ({"movies.dat": "1::Toy Story (1995)\n"}, 1, "2 cells where 3 belong"),
        ({"movies.dat": "one::Toy Story (1995)::Comedy\n"}, 1, f"movie_id is 'one', {NO_ID}"),
        ({"movies.dat": "1::Amélie::x\n2::é::x\n".encode() + b"3::\xe9::x\n"}, 3, "byte 4 is not UTF-8"),
    ],
)  # fmt: skip
def test_a_malformed_row_of_the_older_layouts_is_quarantined(archive, files, line, words):
    good = {"ratings.dat": "1::2::3::4\n", "movies.dat": "2::Toy Story (1995)::Comedy\n"}
    assert lines_and_faults(read_source(archive({**good, **files}), ReadOptions(ids="number"))) == [(line, words)]


def test_a_header_without_its_columns_is_refused(archive):
    files = {**CSV, "ratings.csv": CSV["ratings.csv"].replace("movieId", "film_no")}
    with pytest.raises(DataError, match=r"has the columns userId, film_no, .* none of them known as movie_id"):
        read_source(archive(files))
    files = {
        **CSV,
        "ratings.csv": CSV["ratings.csv"].replace("\r\n", ",1\r\n").replace("timestamp,1", "timestamp,userId"),
    }
    with pytest.raises(DataError, match="column userId, taken for user_id, appears 2 times in the header"):
        read_source(archive(files))


def test_another_encoding_is_named_by_its_byte(archive):
    movies = CSV["movies.csv"].encode() + b"13,Am\xe9lie (2001),Drama\r\n"
    parsed = read_source(archive({**CSV, "movies.csv": movies}))
    assert lines_and_faults(parsed) == [(5, "byte 6 is not UTF-8")]
    assert parsed.tables["movies"]["line"].to_pylist() == [2, 3, 4]


def test_a_file_in_another_encoding_throughout_is_read_in_it(archive):
    parsed = read_source(archive({**CSV, "movies.csv": CSV["movies.csv"].encode("latin-1")}))
    assert parsed.tables["movies"]["title"].to_pylist()[1] == "Misérables, Les (1995)"
    assert parsed.quarantine.num_rows == 0


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), r"looked for ratings\.csv, ratings\.dat, u\.data, .* found no files at all"),
        (("movies.csv",), r"looked for ratings\.csv, ratings\.dat, u\.data, .* found ml-test/movies\.csv"),
    ],
)
def test_a_missing_file_is_named(archive, names, words):
    with pytest.raises(DataError, match=words):
        read_source(archive({name: CSV[name] for name in names}))


@pytest.mark.parametrize(
    "ratings", ["", "userId,movieId,rating,timestamp\r\n", "userId,movieId,rating,timestamp\r\n\r\n"]
)
def test_a_file_without_ratings_is_refused(archive, ratings):
    with pytest.raises(DataError):
        read_source(archive({**CSV, "ratings.csv": ratings}))


def test_rows_remember_their_lines_and_files_their_accounts(archive):
    ratings = "userId,movieId,rating,timestamp\n\n1,10,4,0\nbad\n\n1,11,4,0\n"
    parsed = read_source(archive({**CSV, "ratings.csv": ratings}))
    assert parsed.tables["ratings"]["line"].to_pylist() == [3, 6]
    account = parsed.files[0]
    assert (account.file, account.n_in, account.n_out, account.n_quarantined) == ("ml-test/ratings.csv", 3, 2, 1)
    assert parsed.homes["ratings"] == ["ml-test/ratings.csv"]
