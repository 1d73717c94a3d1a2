"""Files as other tools write them: each way of writing is read right, or refused with the reason and the setting."""

import bz2
import gzip
import lzma
import zipfile
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import NO_TIME_MS, ReadOptions
from recsys.rating_scales import propose_scale

ROWS = [(1, 10, "4.5"), (1, 11, "3"), (2, 10, "0.5")]
AT = datetime(2018, 12, 2, 5, 14, 24, tzinfo=UTC)
SECONDS = 1_543_727_664


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(times=SECONDS, header="user_id,movie_id,rating,timestamp"):
    return "\n".join([header, *(f"{user},{movie},{stars},{times}" for user, movie, stars in ROWS)]) + "\n"


def ratings(path, options=None):
    rows = read_source(path, options).tables["ratings"].to_pylist()
    return [(row["user_id"], row["movie_id"], row["rating"], row["timestamp"]) for row in rows]


EXPECTED = [(1, 10, 4.5, AT), (1, 11, 3.0, AT), (2, 10, 0.5, AT)]


@pytest.mark.parametrize(
    "time",
    [
        "2018-12-02 05:14:24 UTC",
        "2018-12-02 05:14:24.000000 UTC",
        "2018-12-02T06:14:24+01:00",
        "2018/12/02 05:14:24",
        str(SECONDS * 10**6),
        str(SECONDS * 10**9),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet", "movielens"])
def test_times_are_read_alike_in_every_layout(tmp_path, time, kind):
    if kind == "parquet":
        users, movies, stars = zip(*ROWS, strict=True)
        pq.write_table(pa.table({"user": users, "item": movies, "rating": stars, "ts": [time] * 3}), tmp_path / "a.pq")
        assert ratings(tmp_path / "a.pq") == EXPECTED
        return
    if kind == "movielens":
        write(tmp_path / "ratings.csv", table(time, "userId,movieId,rating,timestamp"))
        write(tmp_path / "movies.csv", "movieId,title,genres\n10,Heat (1995),Crime\n11,Ran (1985),War\n")
        assert ratings(tmp_path) == EXPECTED
        return
    assert ratings(write(tmp_path / "a.csv", table(time))) == EXPECTED


def test_the_order_of_day_and_month_is_asked_for_and_then_held(tmp_path):
    path = write(tmp_path / "a.csv", table("2/12/2018"))
    with pytest.raises(DataError, match=r"such as '2/12/2018'.*times=day-month-year or times=month-day-year"):
        read_source(path)
    assert ratings(path, ReadOptions(times="day-month-year"))[0][3] == datetime(2018, 12, 2, tzinfo=UTC)
    assert ratings(path, ReadOptions(times="month-day-year"))[0][3] == datetime(2018, 2, 12, tzinfo=UTC)


def test_the_order_of_day_and_month_holds_for_tags_too(tmp_path):
    write(tmp_path / "ratings.csv", table("2/12/2018"))
    write(tmp_path / "tags.csv", "user,item,tag,time\n1,10,slow,3/12/2018\n")
    tags = read_source(tmp_path, ReadOptions(times="day-month-year")).tables["tags"]
    assert tags["timestamp"].to_pylist() == [datetime(2018, 12, 3, tzinfo=UTC)]


@pytest.mark.parametrize(
    "time",
    [
        '"Dec 2, 2018 05:14:24"', '"December 2nd, 2018 5:14:24 AM"', "2 Dec 2018 05:14:24", "02-Dec-2018 05:14:24",
        "2 december 2018 05:14:24 UTC", '"Sun, 02 Dec 2018 06:14:24 +0100"', "Sun Dec  2 05:14:24 2018",
        "Sun Dec 02 05:14:24 +0000 2018", "Sun Dec 02 05:14:24 UTC 2018",
    ],
)  # fmt: skip
def test_months_with_their_names_are_read(tmp_path, time):
    assert ratings(write(tmp_path / "a.csv", table(time))) == EXPECTED


def test_every_month_is_known_by_its_names(tmp_path):
    names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    rows = [f'{i},1,4,"{name} 1, 2018"\n{i},2,4,3 {name[:3]} 2018' for i, name in enumerate(names, 1)]
    found = ratings(write(tmp_path / "a.csv", "\n".join(["user,item,rating,time", *rows])))
    assert [(at.month, at.day) for *_, at in found] == [(month, day) for month in range(1, 13) for day in (1, 3)]


@pytest.mark.parametrize("time", ["02/12/18", "2.12.18 05:14", "02-DEC-18"])
def test_years_of_two_digits_are_refused_with_the_reason(tmp_path, time):
    path = write(tmp_path / "a.csv", table(time))
    with pytest.raises(DataError, match=rf"timestamp holds dates such as '{time}'; a year of two digits .* 2018-12-02"):
        read_source(path)
    parsed = read_source(path, ReadOptions(times="day-month-year"))
    assert parsed.tables["ratings"].num_rows == 0
    assert "not a date written day-month-year, its year in four digits" in parsed.quarantine["fault"][0].as_py()


@pytest.mark.parametrize(
    "content",
    [
        "user_id,movie_id,rating,timestamp,\n1,10,4.5,{t},\n1,11,3,{t},\n2,10,.5,{t},\n",
        "user_id,movie_id,rating,timestamp\n1,10,4.5,{t},\n1,11,3,{t},\n2,10,.5,{t},\n",
        "user_id,movie_id,rating,timestamp,\n1,10,4.5,{t}\n1,11,3,{t}\n2,10,.5,{t}\n",
        "user_id;movie_id;rating;timestamp;;;\n1;10;4,5;{t};;;\n1;11;3;{t};;;\n2;10;0,5;{t};;;\n",
        "user_id\tmovie_id\trating\ttimestamp\n1\t10\t4.5\t{t}\t\n1\t11\t3\t{t}\t\n2\t10\t.5\t{t}\t\n",
    ],
)
def test_delimiters_at_the_ends_of_lines_are_no_column(tmp_path, content):
    parsed = read_source(write(tmp_path / "a.csv", content.format(t=SECONDS)))
    assert parsed.quarantine.num_rows == 0
    assert ratings(tmp_path / "a.csv") == EXPECTED


def test_delimiters_at_the_ends_of_lines_without_a_header_are_no_column(tmp_path):
    write(tmp_path / "ratings.dat", "".join(f"{user}::{movie}::{stars}::{SECONDS}::\n" for user, movie, stars in ROWS))
    write(tmp_path / "movies.dat", "10::Heat :: 2 (1995)::Crime::\n11::Ran (1985)::War::\n")
    assert ratings(tmp_path) == EXPECTED
    assert read_source(tmp_path).tables["movies"]["title"].to_pylist() == ["Heat :: 2 (1995)", "Ran (1985)"]
    path = write(tmp_path / "a.csv", "".join(f"{user},{movie},{stars},{SECONDS},\n" for user, movie, stars in ROWS))
    names = ("user_id", "movie_id", "rating", "timestamp")
    assert ratings(path, ReadOptions({name: f"column{place}" for place, name in enumerate(names, 1)})) == EXPECTED


def test_a_row_with_more_behind_its_delimiters_is_kept_out(tmp_path):
    parsed = read_source(write(tmp_path / "a.csv", table() + f"3,10,4,{SECONDS},,x\n"))
    assert parsed.quarantine["fault"].to_pylist() == ["6 cells where 4 belong"]


@pytest.mark.parametrize("header", ["user_id,movie_id,rating,timestamp,\n", ""])
def test_text_behind_the_delimiters_at_the_ends_of_lines_is_told_however_far_down(tmp_path, header):
    rows = [f"{n},10,4.0,{SECONDS},\n" for n in range(1, 3001)]
    rows[2500] = f"2501,10,4.0,{SECONDS},more\n"
    names = ("user_id", "movie_id", "rating", "timestamp")
    options = None if header else ReadOptions({name: f"column{place}" for place, name in enumerate(names, 1)})
    parsed = read_source(write(tmp_path / "a.csv", header + "".join(rows)), options)
    assert parsed.tables["ratings"].num_rows == 2_999
    (fault,) = parsed.quarantine.to_pylist()
    assert (fault["line"], fault["fault"]) == (
        2501 + bool(header),
        "column 5, which has no name, is 'more', not blank, as in the lines before",
    )


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("true", "false"), ("yes", "no"), ("Y", "N")])
def test_thumbs_in_words_are_one_and_zero(tmp_path, yes, no):
    path = write(tmp_path / "a.csv", f"user,item,rating,time\n1,10,{yes},0\n1,11,{no},0\n2,10,maybe,0\n")
    parsed = read_source(path)
    assert parsed.tables["ratings"]["rating"].to_pylist() == [1.0, 0.0]
    assert parsed.quarantine["fault"].to_pylist() == ["rating is 'maybe', not true or false, yes or no"]


def test_thumbs_of_parquet_are_one_and_zero(tmp_path):
    columns = {"user": [1, 2, 3], "item": [10, 10, 10], "rating": [True, False, None], "time": [SECONDS] * 3}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert [row[2] for row in ratings(tmp_path / "a.parquet")] == [1.0, 0.0]


def test_a_word_among_numbers_is_no_thumb(tmp_path):
    parsed = read_source(write(tmp_path / "a.csv", table() + f"3,10,yes,{SECONDS}\n"))
    assert parsed.quarantine["fault"].to_pylist() == ["rating is 'yes', not a finite number"]


@pytest.mark.parametrize(("usual", "odd"), [(1, 1000), (1000, 1)])
def test_times_in_another_unit_than_the_others_are_kept_out_with_their_lines(tmp_path, usual, odd):
    rows = [f"{user},1,4,{SECONDS * (odd if user == 3 else usual)}" for user in range(1, 9)]
    parsed = read_source(write(tmp_path / "a.csv", "\n".join(["user,item,rating,time", *rows])))
    assert parsed.quarantine["line"].to_pylist() == [4]
    assert "(in " in parsed.quarantine["fault"][0].as_py()
    assert "it is 2018-12-02 05:14:24 UTC" in parsed.quarantine["fault"][0].as_py()
    assert set(parsed.tables["ratings"]["timestamp"].to_pylist()) == {AT}


def test_hours_of_twelve_are_read(tmp_path):
    path = write(tmp_path / "a.csv", table("12/2/2018 5:14:24 PM"))
    assert ratings(path, ReadOptions(times="month-day-year"))[0][3] == datetime(2018, 12, 2, 17, 14, 24, tzinfo=UTC)


def test_bytes_that_are_zero_cost_their_rows_alone(tmp_path):
    text = table() + f"3,1\0,4,{SECONDS}\n\0\0\0\0"
    parsed = read_source(write(tmp_path / "a.csv", text))
    assert parsed.tables["ratings"].num_rows == 3
    assert parsed.quarantine["line"].to_pylist() == [5, 6]


def test_ratings_without_times_need_one_setting(tmp_path):
    path = write(tmp_path / "a.csv", "user,item,rating\n1,10,4.5\n1,11,3\n")
    with pytest.raises(DataError, match=r"none of them known as timestamp.*where there is no time column, times=none"):
        read_source(path)
    parsed = read_source(path, ReadOptions(times="none"))
    assert parsed.tables["ratings"]["timestamp"].cast(pa.int64()).to_pylist() == [NO_TIME_MS] * 2


def test_what_was_bought_but_not_rated_needs_one_setting(tmp_path):
    path = write(tmp_path / "a.csv", f"user,item,time\n1,10,{SECONDS}\n")
    with pytest.raises(DataError, match=r"none of them known as rating.*rating_scale=none"):
        read_source(path)
    assert ratings(path, ReadOptions(has_ratings=False)) == [(1, 10, 1.0, AT)]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffuser_id;movie_id;rating;timestamp\r\n1;10;4,5;{t}\r\n1;11;3;{t}\r\n2;10;0,5;{t}\r\n",
        "\ufeffsep=;\r\nuser_id;movie_id;rating;timestamp\r\n1;10;4,5;{t}\r\n1;11;3;{t}\r\n2;10;0,5;{t}\r\n",
        '# exported\n\nuser_id,movie_id,rating,timestamp\n1,10,"4,5",{t}\n1,11,3,{t}\n2,10,"0,5",{t}\n',
        "user_id,movie_id,rating,timestamp\r\n1,10,4.5,{t}\n1,11,3,{t}\r2,10,.5,{t}\n",
        "Ratings of the shop\nas of today\nuser_id,movie_id,rating,timestamp\n1,10,4.5,{t}\n1,11,3,{t}\n2,10,.5,{t}\n",
        "# user_id,movie_id,rating,timestamp\n1,10,4.5,{t}\n1,11,3,{t}\n2,10,.5,{t}\n",
        "user_id,movie_id,rating,timestamp\n1.0,10.0,4.5,{t}.0\n1.0,11.0,3,{t}.0\n2.0,10.0,.5,{t}.0\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_spreadsheets_and_exports_are_read(tmp_path, content, encoding):
    assert ratings(write(tmp_path / "a.csv", content.format(t=SECONDS).encode(encoding))) == EXPECTED


def test_a_missing_header_is_found_out_and_its_row_is_not_eaten(tmp_path):
    path = write(tmp_path / "a.csv", table().partition("\n")[2])
    first = dict(zip(("user_id", "movie_id", "rating", "timestamp"), ("1", "10", "4.5", str(SECONDS)), strict=True))
    for options in (None, ReadOptions(columns=first)):
        with pytest.raises(DataError, match=r"no header line: its first line, '1,10,4.5,1543727664', is data.*column1"):
            read_source(path, options)
    named = {name: f"column{place}" for place, name in enumerate(first, 1)}
    assert ratings(path, ReadOptions(columns=named)) == EXPECTED


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, lambda data: pa.compress(data, "zstd", asbytes=True)],
    ids=["gz", "bz2", "xz", "zstd"],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.dat"])
def test_packed_files_are_told_by_their_content(tmp_path, pack, name):
    if pack(b"")[:4] == b"\x28\xb5\x2f\xfd":
        with pa.OSFile(str(tmp_path / name), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as file:
            file.write(table().encode())
    else:
        write(tmp_path / name, pack(table().encode()))
    assert ratings(tmp_path / name) == EXPECTED


@pytest.mark.parametrize("folder", ["ratings-csv/", "ratings/year=2018/", ""])
def test_part_files_are_one_table_and_each_has_its_account(tmp_path, folder):
    header, *rows = table().splitlines()
    for number, row in enumerate(rows):
        write(tmp_path / "in" / f"{folder}part-{number:05}-77aa.csv", f"{header}\n{row}\n")
    write(tmp_path / "in" / f"{folder}_SUCCESS", "")
    parsed = read_source(tmp_path / "in")
    assert parsed.tables["ratings"].num_rows == 3
    assert [(account.n_in, account.n_out) for account in parsed.files if account.table == "ratings"] == [(1, 1)] * 3
    assert parsed.unread == (f"{folder}_SUCCESS",)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_only_folders_name_are_read(tmp_path, kind):
    for user, movie, stars in ROWS:
        path = tmp_path / f"rating={stars}" / "day=2018-12-02%2005%3A14%3A24" / f"part-{user}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "csv":
            path.write_text(f"user,item\n{user},{movie}\n")
        else:
            pq.write_table(pa.table({"user": [user], "item": [movie]}), path)
    assert sorted(ratings(tmp_path, ReadOptions({"timestamp": "day"}))) == sorted(EXPECTED)


def test_a_folder_that_says_no_rating_is_refused(tmp_path):
    write(tmp_path / "rating=good" / "part-0.csv", f"user,item,time\n1,2,{SECONDS}\n")
    with pytest.raises(DataError, match="its folder says that rating is 'good', not a finite number"):
        read_source(tmp_path)


def test_a_part_without_its_header_is_refused_not_left_out(tmp_path):
    header, *rows = table().splitlines()
    write(tmp_path / "part-00000.csv", f"{header}\n{rows[0]}\n")
    write(tmp_path / "part-00001.csv", f"{rows[1]}\n{rows[2]}\n")
    with pytest.raises(DataError, match=r"part-00001\.csv: lies beside part-00000\.csv .* columns column1, column2"):
        read_source(tmp_path)


@pytest.mark.parametrize("delimiter", [" ", "\x01", "\t", "|", ";"])
def test_every_usual_delimiter_is_told_with_and_without_a_header(tmp_path, delimiter):
    text = table().replace(",", delimiter)
    assert ratings(write(tmp_path / "a.txt", text)) == EXPECTED
    places = dict(
        zip(("user_id", "movie_id", "rating", "timestamp"), ("column1", "column2", "column3", "column4"), strict=True)
    )
    assert ratings(write(tmp_path / "b.txt", text.partition("\n")[2]), ReadOptions(columns=places)) == EXPECTED


def test_quotes_with_backslashes_are_quotes_and_the_rest_stays(tmp_path):
    write(tmp_path / "ratings.csv", table())
    titles = '10,"A \\"Bare\\" Film (1990)",\\N\n11,A "bare" one,nan\n'
    write(tmp_path / "movies.csv", f"movie_id,title,genres\n{titles}")
    movies = read_source(tmp_path).tables["movies"]
    assert movies["title"].to_pylist() == ['A "Bare" Film (1990)', 'A "bare" one']
    assert movies["genres"].to_pylist() == [[], []]


def test_a_faulty_row_of_a_backslashed_file_is_shown_as_it_stands(tmp_path):
    write(tmp_path / "ratings.csv", table())
    write(tmp_path / "movies.csv", 'movie_id,title,genres\n10,"A \\"B\\" C",x\n11,"D \\"E\\" F"\n')
    assert read_source(tmp_path).quarantine["content"].to_pylist() == ['11,"D \\"E\\" F"']


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("movie.csv", "movieId,title,genres\n10,Heat (1995),Crime|Drama\n11,Ran (1985),\n"),
        ("items.tsv", "item_id\tname\tcategories\n10\tHeat (1995)\tCrime|Drama\n11\tRan (1985)\tNULL\n"),
        ("films.csv", ",id,title,genre\n0,10,Heat (1995),Crime|Drama\n1,11,Ran (1985),nan\n"),
        ("movies.dat", "10::Heat (1995)::Crime|Drama\n11::Ran (1985)::\n"),
        ("catalogue/whatever.csv", "Movie ID;Movie Title;Genres\n10;Heat (1995);Crime|Drama\n11;Ran (1985);\n"),
    ],
)
def test_movies_are_found_by_their_columns_whatever_they_are_called(tmp_path, name, content):
    write(tmp_path / "rating.csv", table())
    write(tmp_path / name, content)
    movies = read_source(tmp_path).tables["movies"]
    assert movies["title"].to_pylist() == ["Heat (1995)", "Ran (1985)"]
    assert movies["genres"].to_pylist() == [["Crime", "Drama"], []]


def test_a_mapping_of_the_ratings_leaves_other_files_their_usual_names(tmp_path):
    write(tmp_path / "ratings.csv", table(header="user,isbn,rating,time"))
    write(tmp_path / "items.csv", "item_id,title\n10,Heat (1995)\n11,Ran (1985)\n")
    assert (
        read_source(tmp_path, ReadOptions({"movie_id": "isbn"})).tables["movies"]["title"].to_pylist()[0]
        == "Heat (1995)"
    )


def test_links_are_ids_however_they_are_written(tmp_path):
    write(tmp_path / "ratings.csv", table())
    write(tmp_path / "link.csv", ",movieId,imdbId,tmdbId\n0,10,tt0113277,949.0\n1,11,89881.0,\n")
    assert read_source(tmp_path).tables["links"].drop_columns("line").to_pylist() == [
        {"movie_id": 10, "imdb_id": "tt0113277", "tmdb_id": 949},
        {"movie_id": 11, "imdb_id": "tt0089881", "tmdb_id": None},
    ]


def test_details_are_read_where_they_stand_beside(tmp_path):
    write(tmp_path / "ratings.csv", table())
    write(
        tmp_path / "details.csv", "movie_id,language,keywords,directors,actors\n10,en,heist|night,Mann,Pacino|De Niro\n"
    )
    assert read_source(tmp_path).tables["details"].drop_columns("line").to_pylist() == [
        {"movie_id": 10, "language": "en", "keywords": ["heist", "night"], "directors": ["Mann"],
         "actors": ["Pacino", "De Niro"]}
    ]  # fmt: skip


def test_a_file_of_movies_without_titles_is_refused_by_its_columns(tmp_path):
    write(tmp_path / "ratings.csv", table())
    write(tmp_path / "movies.csv", "movie_id,price\n10,5\n")
    with pytest.raises(DataError, match=r"movies\.csv is called as the movies are.* movie_id, price .*columns=title="):
        read_source(tmp_path)


def test_files_that_are_not_read_are_named(tmp_path):
    write(tmp_path / "ratings.csv", table())
    write(tmp_path / "genome_scores.csv", "movieId,tagId,relevance\n10,1,0.5\n")
    assert read_source(tmp_path).unread == ("genome_scores.csv",)


def test_an_archive_in_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as outer:
        outer.writestr("inner.zip", b"PK\x03\x04rest")
    with pytest.raises(DataError, match=r"inner\.zip is an archive in an archive that is not opened.*Unpack it once"):
        read_source(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 5], "1-5/1"),
        ([0, 1], "0-1/1"),
        ([-1, 1], "-1-1/1"),
        ([1, 10], "1-10/1"),
        ([0, 7, 10], "0-10/1"),
        ([12, 99], "1-100/1"),
        ([0.5, 4], "0.5-5/0.5"),
        ([-9.81, 3.7], "-10-10/0.01"),
    ],
)
def test_a_scale_is_proposed_from_the_values(values, scale):
    assert propose_scale(map(float, values)).text == scale
    assert propose_scale([*map(float, values), 12_345.0]) is None
