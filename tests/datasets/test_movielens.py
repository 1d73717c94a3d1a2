"""Every layout arrives as the same canonical tables; what is malformed is named by file, line and content."""

import zipfile
from datetime import UTC, datetime

import pytest

from recsys import columns
from recsys.datasets.movielens import read_tables
from recsys.errors import DataError

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
    ("name", "old", "new", "words"),
    [
        ("ratings.csv", "2,11,0.5,0", "2,11,0.5", r"s\.csv line 3: 3 cells where 4 belong; the line is '2,11,0\.5'"),
        ("ratings.csv", "2,11,0.5,0", "2,11,0.5,0,9", "line 3: 5 cells where 4 belong"),
        ("ratings.csv", "2,11,0.5,0", "2,11,good,0", "line 3: rating is 'good', not a finite number"),
        ("ratings.csv", "2,11,0.5,0", "2,11,nan,0", "line 3: rating is 'nan', not a finite number"),
        ("ratings.csv", "2,11,0.5,0", "2,11,1e99,0", "line 3: rating is '1e99', not a finite number"),
        ("ratings.csv", "2,11,0.5,0", "2,,0.5,0", "line 3: movieId is '', not a whole number"),
        ("ratings.csv", "2,11,0.5,0", "2.0,11,0.5,0", r"line 3: userId is '2\.0', not a whole number"),
        ("ratings.csv", "2,11,0.5,0", "99999999999,11,0.5,0", r"line 3: userId is 99999999999, outside \[0, "),
        ("ratings.csv", "2,11,0.5,0", "-2,11,0.5,0", "line 3: userId is -2, outside"),
        ("ratings.csv", "2,11,0.5,0", "2,11,0.5,999999999999", "line 3: timestamp is 999999999999, outside"),
        ("ratings.csv", "movieId,rating", "movie,rating", "line 1: column movieId appears 0 times in the header"),
        ("ratings.csv", "movieId,rating", "userId,rating", "line 1: column userId appears 2 times in the header"),
        ("movies.csv", "10,Toy", '10,"Toy', r"movies\.csv line 2: a quote is opened and not closed"),
        ("links.csv", "0114709", "tt0114709", r"links\.csv line 2: imdbId is 'tt0114709', not a whole number"),
        ("tags.csv", ",1445714994", ",later", r"tags\.csv line 2: timestamp is 'later', not a whole number"),
    ],
)  # fmt: skip
def test_a_malformed_row_is_named(archive, name, old, new, words):
    assert old in CSV[name]
    with pytest.raises(DataError, match=words):
        read_tables(archive({**CSV, name: CSV[name].replace(old, new)}))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ratings.dat": "1::2::3::4\n1::2:x:3::4\n"}, r"ratings\.dat line 2: 'x' stands where nothing should"),
        ({"ratings.dat": "1::2::3::4\n1,2,3,4\n"}, r"ratings\.dat line 2: 1 cells where 7 belong"),
        ({"movies.dat": "1::Toy Story (1995)\n"}, r"movies\.dat line 1: 2 cells where 3 belong"),
        ({"movies.dat": "one::Toy Story (1995)::Comedy\n"}, r"movies\.dat line 1: movieId is 'one'"),
    ],
)
def test_a_malformed_row_of_the_older_layouts_is_named(archive, files, words):
    good = {"ratings.dat": "1::2::3::4\n", "movies.dat": "2::Toy Story (1995)::Comedy\n"}
    with pytest.raises(DataError, match=words):
        read_tables(archive({**good, **files}))


def test_another_encoding_is_named_by_its_byte(archive):
    movies = CSV["movies.csv"].encode("latin-1")
    with pytest.raises(DataError, match=r"movies\.csv line 3: byte 8 is not UTF-8"):
        read_tables(archive({**CSV, "movies.csv": movies}))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), r"looked for ratings\.csv, ratings\.dat, u\.data; found no files at all"),
        (("movies.csv",), r"looked for ratings\.csv, ratings\.dat, u\.data; found ml-test/movies\.csv"),
        (("ratings.csv",), r"looked for movies\.csv; found ml-test/ratings\.csv"),
    ],
)
def test_a_missing_file_is_named(archive, names, words):
    with pytest.raises(DataError, match=words):
        read_tables(archive({name: CSV[name] for name in names}))


def test_an_empty_file_is_refused_and_a_bare_header_is_not(archive):
    with pytest.raises(DataError, match="column userId appears 0 times"):
        read_tables(archive({**CSV, "ratings.csv": ""}))
    header = CSV["ratings.csv"].splitlines()[0] + "\r\n"
    assert read_tables(archive({**CSV, "ratings.csv": header}))[1]["ratings"].num_rows == 0
