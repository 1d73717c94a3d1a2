"""What is recognised in a source, and in doubt, is said before anything is taken in."""

import json

import pytest

from recsys.cli.entry import main
from recsys.ingest.formats.tabular import How
from recsys.ingest.inspection import inspect_source

RATINGS = "user;item;rating;when;shop\nann;B1;8;2024-05-31 12:30:00;x\nbob;B2;10;2024-06-01;y\nann;B1;1;2024-06-02;z\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    return tmp_path / "ratings.csv"


def test_files_columns_scale_times_ids_counts_and_doubts_are_said(path):
    found = inspect_source(path, How({"timestamp": "when"}))
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
