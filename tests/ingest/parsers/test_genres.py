"""Genres and the like are split as their whole column is written, not cell by cell."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.ingest.formats.reading import read_source

RATINGS = "user,item,rating,time\n1,1,4,0\n"


def genres(folder, cells):
    (folder / "ratings.csv").write_text(RATINGS)
    quoted = ('"' + cell.replace('"', '""') + '"' for cell in cells)
    rows = [f"{number},Film {number} (1999),{cell}" for number, cell in enumerate(quoted, 1)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *rows]) + "\n")
    return read_source(folder).tables["movies"]["genres"].to_pylist()


@pytest.mark.parametrize(
    "cell",
    [
        "Comedy|Sci-Fi", "Comedy, Sci-Fi", "Comedy,Sci-Fi", "Comedy;Sci-Fi", "Comedy/Sci-Fi", '["Comedy","Sci-Fi"]',
        "['Comedy', 'Sci-Fi']", "[Comedy, Sci-Fi]", "[{'id': 35, 'name': 'Comedy'}, {'id': 878, 'name': 'Sci-Fi'}]",
    ],
)  # fmt: skip
def test_each_way_to_list_genres_is_split(tmp_path, cell):
    found = genres(tmp_path, [cell, "Drama", "(no genres listed)", "", r"\N"])
    assert found == [["Comedy", "Sci-Fi"], ["Drama"], [], [], []]


def test_what_separates_genres_is_decided_for_the_column(tmp_path):
    assert genres(tmp_path, ["Comedy|Drama", "Crime, True", "Action/Adventure", "War; Peace"]) == [
        ["Comedy", "Drama"], ["Crime, True"], ["Action/Adventure"], ["War; Peace"],
    ]  # fmt: skip
    assert genres(tmp_path, ["Action/Adventure, Drama", "War"]) == [["Action/Adventure", "Drama"], ["War"]]


def test_one_odd_cell_does_not_decide_for_the_column(tmp_path):
    cells = ["Comedy, Drama"] * 11
    assert genres(tmp_path, [*cells, "Film|Noir"]) == [["Comedy", "Drama"]] * 11 + [["Film|Noir"]]


def test_the_column_is_one_over_all_blocks_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.ingest.parsers.lines.BLOCK_BYTES", 40)
    assert genres(tmp_path, ["Crime, True", "Comedy|Drama", "War|Drama"])[0] == ["Crime, True"]


def test_keywords_are_split_like_genres_and_names_are_not_split_at_commas(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "details.csv").write_text(
        'movieId,keywords,directors,actors\n1,"toy, boy","Lasseter, John","[""Tom Hanks"", ""Tim Allen""]"\n'
    )
    (row,) = read_source(tmp_path).tables["details"].to_pylist()
    assert (row["keywords"], row["directors"], row["actors"]) == (
        ["toy", "boy"], ["Lasseter, John"], ["Tom Hanks", "Tim Allen"],
    )  # fmt: skip


def test_lists_of_parquet_and_lists_as_text_are_genres(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    for column in (pa.array([["Comedy", "War"], []]), pa.array(['["Comedy", "War"]', None])):
        pq.write_table(pa.table({"movieId": [1, 2], "title": ["a", "b"], "genres": column}), tmp_path / "movies.pq")
        assert read_source(tmp_path).tables["movies"]["genres"].to_pylist() == [["Comedy", "War"], []]
