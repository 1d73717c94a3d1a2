"""What is recognised in a source, and in doubt, is said before anything is taken in."""

import json

import pytest

from recsys.cli.entry import main
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.inspection import inspect_source

RATINGS = "user;item;rating;when;shop\nann;B1;8;2024-05-31 12:30:00;x\nbob;B2;10;2024-06-01;y\nann;B1;1;2024-06-02;z\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    return tmp_path / "ratings.csv"


def test_files_columns_scale_times_ids_counts_and_doubts_are_said(path):
    found = inspect_source(path, ReadOptions({"timestamp": "when"}))
    (file,) = found.files
    assert (file.role, file.files) == ("ratings", ("ratings.csv",))
    assert file.columns == {
        "user": "user_id", "item": "movie_id", "rating": "rating", "when": "timestamp", "shop": "",
    }  # fmt: skip
    assert file.first_rows[0] == ["ann", "B1", "8", "2024-05-31 12:30:00", "x"]
    assert found.scale == "1-10/1, as the ratings go from 1 to 10 in whole steps"
    assert found.times == "iso, from 2024-05-31 to 2024-06-02"
    assert found.counts == {"ratings": 3, "movies": 2, "users": 2, "malformed": 0}
    assert "users by text, numbered (2 in a dictionary)" in found.ids
    text = "\n".join(found.lines())
    assert "doubt: the ratings are not on half stars up to 5; say rating_scale=1-10/1" in text
    assert "doubt: 1 ratings are of a movie that the same user rated again" in text
    assert "not read: shop" in text


def test_what_cannot_be_read_is_shown_with_the_reason(path):
    found = inspect_source(path)
    assert found.layout == ""
    assert found.files[0].columns["user"] == "user_id"
    assert "none of them known as timestamp" in found.doubts[0]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_the_same_and_its_status_whether_it_can_be_read(path, capsys, monkeypatch, as_json):
    for settings, status in ((["--set", "columns=timestamp=when"], 0), ([], 1)):
        monkeypatch.setattr("sys.argv", ["recsys", "inspect", str(path), *settings, *["--json"] * as_json])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == status
        out = capsys.readouterr().out
        assert (json.loads(out)["files"][0]["files"] if as_json else out.split()[0]) == (
            ["ratings.csv"] if as_json else "ratings.csv:"
        )


MOVIELENS = {
    "ml-100k": {
        "u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        "u.item": "242|Kolya (1996)|24-Jan-1997||http://x|" + "|".join(["0"] * 18 + ["1"]) + "\n",
        "u.user": "1|24|M|technician|85711\n",
    },
    "ml-1m": {
        "ratings.dat": "1::1193::5::978300760\n",
        "movies.dat": "1193::Misérables, Les (1995)::Drama|Musical\n",
        "users.dat": "1::F::1::10::48067\n",
    },
    "the-movies-dataset": {
        "ratings_small.csv": "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n",
        "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n",
        "movies_metadata.csv": "adult,genres,id,original_language,overview,release_date,title\n"
        "False,\"[{'id': 16, 'name': 'Animation'}]\",862,en,\"Led by\nWoody\",1995-10-30,Toy Story\n",
        "keywords.csv": "id,keywords\n862,\"[{'id': 1, 'name': 'toy'}]\"\n",
        "credits.csv": "cast,crew,id\n[],[],862\n",
    },
}
RATING_COLUMNS = ["user_id", "movie_id", "rating", "timestamp"]


@pytest.mark.parametrize(
    ("release", "roles", "meanings", "first_rows", "unread"),
    [
        ("ml-100k", ["ratings", "movies"], ["movie_id", "title", "", "", "", *["genres"] * 19],
         ["196", "242", "3", "881250949"], ["u.user"]),
        ("ml-1m", ["ratings", "movies"], ["movie_id", "title", "genres"],
         ["1", "1193", "5", "978300760"], ["users.dat"]),
        ("the-movies-dataset", ["ratings", "links", "movies", "details", "details"],
         ["", "genres", "tmdb_id", "language", "", "year", "title"], ["1", "1", "4.0", "964982703"], []),
    ],
)  # fmt: skip
def test_the_columns_of_every_known_release_are_said(tmp_path, release, roles, meanings, first_rows, unread):
    for name, text in MOVIELENS[release].items():
        (tmp_path / name).write_text(text)
    found = inspect_source(tmp_path)
    assert [file.role for file in found.files] == roles
    ratings, movies = (next(file for file in found.files if file.role == role) for role in ("ratings", "movies"))
    assert list(ratings.columns.values()) == RATING_COLUMNS
    assert list(movies.columns.values()) == meanings
    assert ratings.first_rows[0] == first_rows
    assert found.not_read == tuple(unread)
    assert found.scale.startswith("1-5/1")
    assert found.times.startswith("seconds, from ")
    assert json.loads(json.dumps(found.to_dict()))["files"][0]["columns"] == ratings.columns


def test_rows_over_several_lines_are_shown_as_one(tmp_path):
    for name, text in MOVIELENS["the-movies-dataset"].items():
        (tmp_path / name).write_text(text)
    movies = next(file for file in inspect_source(tmp_path).files if file.role == "movies")
    assert movies.first_rows[0][4:] == ["Led by\nWoody", "1995-10-30", "Toy Story"]


def test_thumbs_in_words_and_what_separates_genres_are_said(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,rating,time\n1,10,True,0\n2,10,False,0\n")
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n10,Heat,"Crime, Drama"\n')
    text = "\n".join(inspect_source(tmp_path).lines())
    assert "rating in words: true or yes is 1, false or no is 0" in text
    assert "scale: 0-1/1" in text
    assert "rating_scale=0-1/1" in text
    assert "genres separated by ','" in text


def test_a_source_that_cannot_be_read_keeps_the_roles_of_its_files(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,rating,time\n1,10,4,02/12/2018\n")
    found = inspect_source(tmp_path)
    assert (found.layout, found.files[0].role) == ("", "ratings")
    assert "times=day-month-year" in found.doubts[0]


def test_blank_columns_and_more_files_than_are_listed_are_told(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,rating,time,\n1,10,4,0,\n")
    for number in range(30):
        (tmp_path / f"note{number}.txt").write_text("x")
    text = "\n".join(inspect_source(tmp_path).lines())
    assert "time is timestamp\n" in text
    assert "and 10 more" in text
