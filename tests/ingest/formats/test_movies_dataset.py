"""Kaggle's The Movies Dataset arrives under MovieLens' ids; what is broken, unlinked or repeated is set aside."""

import zipfile

import pytest

from recsys.errors import DataError
from recsys.ingest.formats.reading import read_source
from recsys.ingest.parsers.literals import RECORDS, parse_records

FILES = {
    "ratings_small.csv": "userId,movieId,rating,timestamp\r\n1,1,4.0,0\r\n1,2,3.5,0\r\n",
    "links.csv": "movieId,imdbId,tmdbId\r\n1,0114709,862\r\n2,0113497,8844\r\n3,0111613,862\r\n4,0000001,\r\n",
    "movies_metadata.csv": (
        "adult,genres,id,original_language,overview,release_date,title\n"
        "False,\"[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}]\",862,en,\"Led by\nWoody\","
        "1995-10-30,Toy Story\n"
        "False,[],8844,,Board game,,Jumanji\n"
    ),
    "keywords.csv": "id,keywords\n862,\"[{'id': 1, 'name': 'toy'}, {'id': 2, 'name': \"\"children's book\"\"}]\"\n",
    "credits.csv": (
        "cast,crew,id\n"
        '"[' + ", ".join(f"{{'name': 'Actor {i}', 'order': {i}}}" for i in range(7)) + ']",'
        "\"[{'job': 'Director', 'name': 'John Lasseter'}, {'job': 'Writer', 'name': 'Joss Whedon'}]\",862\n"
    ),
}  # fmt: skip


@pytest.fixture
def parse(tmp_path):
    def parse(folder="", **changed):
        path = tmp_path / "movies.zip"
        files = {**FILES, **{name.replace("__", "."): text for name, text in changed.items()}}
        with zipfile.ZipFile(path, "w") as zipped:
            for name, text in files.items():
                if text is not None:
                    zipped.writestr(folder + name, text)
        return read_source(path)

    return parse


def faults(parsed):
    names = ("table", "line", "reason")
    return [tuple(row[name] for name in names) for row in parsed.quarantine.to_pylist()]


@pytest.mark.parametrize("folder", ["", "archive/the-movies-dataset/"])
def test_movies_come_under_movielens_ids_with_years_and_details(parse, folder):
    parsed = parse(folder)
    assert parsed.layout == "movies-dataset"
    assert faults(parsed) == []
    assert parsed.tables["movies"].to_pylist() == [
        {"movie_id": 1, "title": "Toy Story (1995)", "year": 1995, "genres": ["Animation", "Comedy"], "line": 2},
        {"movie_id": 2, "title": "Jumanji", "year": None, "genres": [], "line": 4},
    ]
    assert parsed.tables["details"].to_pylist() == [
        {
            "movie_id": 1,
            "language": "en",
            "keywords": ["toy", "children's book"],
            "directors": ["John Lasseter"],
            "actors": [f"Actor {i}" for i in range(5)],
            "line": 2,
        },
        {"movie_id": 2, "language": None, "keywords": [], "directors": [], "actors": [], "line": 4},
    ]
    assert parsed.tables["ratings"].num_rows == 2
    assert parsed.homes["details"] == [f"{folder}movies_metadata.csv"]


def test_a_record_broken_over_two_lines_is_one_row_of_the_quarantine(parse):
    broken = FILES["movies_metadata.csv"] + "False,[],862,en,An Over\nview,1995-10-30,Toy Story\n"
    parsed = parse(movies_metadata__csv=broken)
    assert faults(parsed) == [("movies", 5, "malformed")]
    assert parsed.quarantine["content"].to_pylist() == ["False,[],862,en,An Over\nview,1995-10-30,Toy Story"]
    assert [(a.n_in, a.n_out) for a in parsed.files if a.table == "movies"] == [(3, 2)]


def test_records_without_a_link_and_surplus_ones_are_set_aside(parse):
    more = "".join(f"False,[],{tmdb_id},en,,2001-01-01,More\n" for tmdb_id in (862, 862, 99))
    parsed = parse(movies_metadata__csv=FILES["movies_metadata.csv"] + more)
    # TMDB's 862 is linked by MovieLens' 1 and 3: the second record is the second movie's, the third one too many.
    assert parsed.tables["movies"]["movie_id"].to_pylist() == [1, 2, 3]
    assert faults(parsed) == [("movies", 6, "duplicate"), ("movies", 7, "unlinked")]
    assert parsed.quarantine["content"].to_pylist()[1] == "False,[],99,en,,2001-01-01,More"


@pytest.mark.parametrize(
    "cell",
    [
        "[{'name': __import__('os')}]",
        "[{'name': 'x'}",
        "[{'name': ['nested']}]",
        "nonsense",
        "[" * 2_000,
        "[{'id': " + "9" * 5_000 + "}]",
    ],
)
def test_a_cell_outside_the_grammar_makes_its_record_malformed(parse, cell):
    parsed = parse(movies_metadata__csv=FILES["movies_metadata.csv"].replace("False,[],8844", f'False,"{cell}",8844'))
    assert faults(parsed) == [("movies", 4, "malformed")]
    assert "genres is " in parsed.quarantine["fault"][0].as_py()
    assert parsed.tables["movies"]["movie_id"].to_pylist() == [1]


def test_what_repeats_is_kept_once_and_what_differs_is_set_aside(parse):
    first = FILES["keywords.csv"].splitlines()[1]
    parsed = parse(keywords__csv=f"{FILES['keywords.csv']}{first}\n862,[]\n5,[]\n")
    assert faults(parsed) == [("details", 4, "duplicate"), ("details", 5, "unlinked")]
    assert [(a.n_in, a.n_out) for a in parsed.files if a.file == "keywords.csv"] == [(4, 2)]
    assert parsed.tables["details"]["keywords"].to_pylist()[0] == ["toy", "children's book"]


def test_all_ratings_go_before_the_small_selection(parse):
    assert parse(ratings__csv="userId,movieId,rating,timestamp\n5,1,1,0\n").tables["ratings"][
        "user_id"
    ].to_pylist() == [5]


def test_partial_copies_of_the_metadata_stand_in(parse, caplog):
    caplog.set_level("INFO")
    text = FILES["movies_metadata.csv"]
    head = "\n".join(text.split("\n")[:3]) + "\n"
    changed = {"movies_metadata__csv": None, "movies_metadata__part__csv": head, "movies_metadata__ALL__csv": text}
    assert parse(**changed).homes["movies"] == ["movies_metadata.ALL.csv"]
    assert "movies_metadata.ALL.csv stands in" in caplog.text


def test_without_links_nothing_can_be_joined(parse):
    with pytest.raises(DataError, match=r"looked for links\.csv, links_small\.csv"):
        parse(links__csv=None)


@pytest.mark.parametrize("links", ["links_small.csv"])
def test_the_small_links_do_where_there_are_no_others(parse, links):
    assert parse(links__csv=None, **{links: FILES["links.csv"]}).tables["links"].num_rows == 4


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("[]", []),
        ("", []),
        ("[{}]", [{}]),
        (
            r"""[{'a': 'it\'s', "b": "\u00e9", 'c': 1.5e3, 'd': None}]""",
            [{"a": "it's", "b": "é", "c": None, "d": None}],
        ),
        (r'[{"name": "\ud83d\ude00\/\n"}]', [{"name": "😀/\n"}]),
        (r"[{'name': '\ud83d'}]", [{"name": "�"}]),  # half a character
        ("[{'name': \"{'name': 'x'}\"}]", [{"name": "{'name': 'x'}"}]),  # a record that is only quoted
    ],
)
def test_python_and_json_spell_the_same_records(cell, expected):
    assert RECORDS.fullmatch(cell)
    assert list(parse_records(cell)) == expected
