"""Archives are opened safely: what is hostile or damaged is refused in words, before or while it is read."""

import gzip
import io
import stat
import struct
import zipfile

import pytest

from recsys.errors import DataError
from recsys.ingest.archives.archives import Limits, Member, open_archive, pack_folder, unpacked
from tests.ingest import hostile

SMALL = Limits(max_members=10, max_total_bytes=1_000_000, max_ratio=50, ratio_from_bytes=10_000)


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def read_all(path, name, limits=None):
    with open_archive(path, limits) as archive, archive.open(archive.require(name)) as file:
        return file.read()


def test_a_member_is_found_below_a_folder_that_wraps_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("outer/inner/Ratings.CSV", "1,2"), ("__MACOSX/ratings.csv", "x")])
    assert read_all(path, "ratings.csv") == b"1,2"


def test_the_member_nearest_to_the_top_is_meant(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("old/x/ratings.csv", "deep"), ("new/ratings.csv", "near")])
    assert read_all(path, "ratings.csv") == b"near"


def test_two_equally_near_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a/ratings.csv", "1"), ("b/ratings.csv", "2")])
    with pytest.raises(DataError, match=r"both a/ratings\.csv and b/ratings\.csv could be ratings\.csv"):
        read_all(path, "ratings.csv")


def test_a_missing_member_is_named_beside_what_is_there(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("notes.txt", "hello")])
    with pytest.raises(DataError, match=r"looked for ratings\.csv; found notes\.txt"):
        read_all(path, "ratings.csv")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../ratings.csv", "climbs out of its folder"),
        ("a/../../ratings.csv", "climbs out of its folder"),
        ("/etc/ratings.csv", "has an absolute path"),
        ("C:/ratings.csv", "has an absolute path"),
        ("a\\..\\ratings.csv", "has a name with control characters or backslashes"),
    ],
)
def test_members_outside_the_archive_are_refused(tmp_path, name, words):
    path = write_zip(tmp_path / "a.zip", [(name, "1,2")])
    with pytest.raises(DataError, match=words):
        read_all(path, "ratings.csv")


def test_a_symbolic_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("ratings.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "a.zip", [(link, "/etc/passwd")])
    with pytest.raises(DataError, match="symbolic link"):
        read_all(path, "ratings.csv")


def test_a_symbolic_link_in_a_folder_is_refused(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "ratings.csv").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"'ratings\.csv' is a symbolic link"):
        read_all(folder, "ratings.csv")


def test_a_member_that_appears_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path / "a.zip", [("ratings.csv", "1"), ("ratings.csv", "2")])
    with pytest.raises(DataError, match="appears twice"):
        read_all(path, "ratings.csv")


def test_a_bomb_is_refused_by_its_declared_ratio(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv", b"0" * 100_000)])  # deflates about 800 times
    with pytest.raises(DataError, match=r"claims to unpack .* more than 50 times its size"):
        read_all(path, "ratings.csv", SMALL)


def test_a_bomb_is_refused_by_its_declared_total(tmp_path):
    members = [(f"{i}.csv", bytes(400_000)) for i in range(3)]  # 1.2 MB, 1 MB allowed
    path = write_zip(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
    with pytest.raises(DataError, match="unpacks to 1,200,000 bytes, 1,000,000 allowed"):
        read_all(path, "0.csv", SMALL)


def test_too_many_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [(f"{i}.csv", "x") for i in range(11)])
    with pytest.raises(DataError, match="11 members or more, 10 allowed"):
        read_all(path, "0.csv", SMALL)


@pytest.mark.parametrize("declared", [10, 2_000])
def test_a_member_whose_real_size_is_not_the_declared_one_is_refused_while_reading(tmp_path, declared):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv", b"0,1,2,3\n" * 125)])  # 1,000 bytes
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", declared)  # "uncompressed size" in the directory
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"ratings\.csv (is damaged|declares)"):
        read_all(path, "ratings.csv")


def test_a_flipped_bit_is_noticed(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv", b"0,1,2,3\n" * 125)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"ratings\.csv is damaged \(Bad CRC-32"):
        read_all(path, "ratings.csv")


def test_a_truncated_zip_is_said_to_be_cut_short(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv", bytes(range(256)) * 40)])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="cut short or damaged at its end"):
        read_all(path, "ratings.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not an archive"),
        (b"user,movie\n1,2\n", "is not a zip file"),
        (b"", r"\(0 bytes\) is not a zip file"),
    ],
)
def test_what_is_no_zip_is_refused_by_what_it_is(tmp_path, content, words):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_all(path, "ratings.csv")


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.zip: no such file or folder"):
        read_all(tmp_path / "gone.zip", "ratings.csv")


def test_an_encrypted_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv", "1,2")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    path.write_bytes(data)
    with pytest.raises(DataError, match="is encrypted"):
        read_all(path, "ratings.csv")


def test_an_error_of_the_reader_is_not_mistaken_for_a_damaged_archive(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv", "1,2")])
    with (
        pytest.raises(OSError, match="my disk"),
        open_archive(path) as archive,
        archive.open(archive.require("ratings.csv")),
    ):
        raise OSError("my disk")


def test_a_folder_packs_to_the_same_bytes_wherever_it_lies(tmp_path):
    packed = []
    for name in ("one", "two"):
        folder = tmp_path / name / "ml"
        folder.mkdir(parents=True)
        (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
        (folder / "private.key").write_text("not wanted")
        pack_folder(tmp_path / name, tmp_path / f"{name}.zip", ["movies.csv", "ratings.csv"])
        packed.append((tmp_path / f"{name}.zip").read_bytes())
    assert packed[0] == packed[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["ratings.csv"]


def test_a_gzip_member_of_a_zip_unpacks_within_limits(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ratings.csv.gz", gzip.compress(b"1,2\n" * 10))], zipfile.ZIP_STORED)
    with open_archive(path) as archive, archive.open(archive.require("ratings.csv.gz")) as raw:
        with unpacked(raw, archive.label, "ratings.csv.gz") as file:
            assert file.read() == b"1,2\n" * 10


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (SMALL, r"unpacks [\d,]+ bytes to [\d,]+ and more, over 50 times its size"),
        (Limits(max_total_bytes=50_000, max_ratio=2_000), r"unpacks to [\d,]+ bytes, 50,000 allowed"),
    ],
)
def test_a_gzip_stream_stops_where_it_unpacks_to_too_much(limits, words):
    packed = io.BufferedReader(io.BytesIO(gzip.compress(bytes(1_000_000))))  # about 1,000 times smaller
    with unpacked(packed, "a.zip", "ratings.csv.gz", limits) as file, pytest.raises(DataError, match=words):
        file.read()


def test_a_table_of_its_own_is_an_archive_of_one_member(tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"1,2\n")
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 1_000))
    for name, content in (("mine.csv", b"1,2\n"), ("mine.csv.gz", b"1,2\n" * 1_000)):
        with open_archive(tmp_path / name) as archive, archive.open(archive.members[0]) as file:
            assert archive.members == (Member("mine.csv", len(content)),)
            assert file.read() == content


def test_a_sound_zip_is_not_refused(tmp_path):
    more = [("ml/README", b"read me"), ("ml/empty/", b""), ("Misérables (1995).csv", b"1"), ("__MACOSX/._x", b"\0")]
    with open_archive(hostile.write_zip(tmp_path / "a.zip", *more)) as archive:
        archive.verify()
        assert len(archive.members) == 4
