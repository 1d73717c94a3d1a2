"""Whatever is done to a row, the outcome is clean tables or a `DataError`: no crash, no hang, no lost row."""

import io
import zipfile

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recsys import columns
from recsys.datasets.movielens import read_tables
from recsys.errors import DataError

GOOD = {
    "ratings.csv": b"userId,movieId,rating,timestamp\r\n"
    + b"".join(b"%d,10,4.0,964982703\r\n" % i for i in range(1, 6)),
    "movies.csv": 'movieId,title,genres\r\n10,"Misérables, Les (1995)",Drama|War\r\n11,Heat (1995),Crime\r\n'.encode(),
    "links.csv": b"movieId,imdbId,tmdbId\r\n10,0114709,862\r\n11,0113277,\r\n",
    "tags.csv": b'userId,movieId,tag,timestamp\r\n1,10,"so, so",1445714994\r\n',
    "ratings.dat": b"1::10::4::964982703\n2::11::3.5::964982703\n",
    "movies.dat": b"10::Toy Story (1995)::Animation|Comedy\n11::Heat (1995)::Crime\n",
    "u.data": b"196\t10\t3\t881250949\n186\t11\t5\t881250949\n",
    "u.item": b"10|Kolya (1996)|24-Jan-1997||http://x|" + b"|".join([b"0"] * 18 + [b"1"]) + b"\n",
}
LAYOUTS = {
    "csv": ("ratings.csv", "movies.csv", "links.csv", "tags.csv"),
    "dat": ("ratings.dat", "movies.dat"),
    "100k": ("u.data", "u.item"),
}
SPICE = st.sampled_from([
    b"", b",", b"::", b"|", b"\t", b'"', b'""', b"\r", b"\n", b"\r\n", b"\x00", b"\xff", b"\xc3", b"nan", b"-1",
    b"1e400", b"9999999999999999999999", b"0x1F", b" ", b"'", b"\\", b"\xef\xbb\xbf", b"tt", b"4.5", b"None", b"\x1a",
])  # fmt: skip


@st.composite
def damaged(draw):
    """An archive's files with up to four bytes' worth of damage to one of them."""
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    files = {name: GOOD[name] for name in LAYOUTS[layout]}
    victim = draw(st.sampled_from(sorted(files)))
    data = files[victim]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        n_gone = draw(st.sampled_from([0, 0, 1, 2, 7]))
        piece = draw(SPICE | st.binary(max_size=6))
        data = data[:start] + piece + data[start + n_gone :]
    return {**files, victim: data}


@given(files=damaged())
@example(files={**{n: GOOD[n] for n in LAYOUTS["csv"]}, "tags.csv": b'userId,movieId,tag,timestamp\r\n1,1,"open'})
@example(files={**{n: GOOD[n] for n in LAYOUTS["csv"]}, "movies.csv": b"movieId,title,genres\r1,a (1999),b\r"})
@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_give_clean_tables_or_a_data_error(tmp_path_factory, files):
    path = tmp_path_factory.getbasetemp() / "fuzz.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    try:
        _, tables = read_tables(path)
    except DataError:
        return
    assert {name: table.schema for name, table in tables.items()} == columns.SNAPSHOT_TABLES
    for table in tables.values():
        table.validate(full=True)
    for name in ("user_id", "movie_id", "rating", "timestamp"):
        assert tables["ratings"][name].null_count == 0
    # No row is lost: each line of the ratings file that holds anything is a row, the header aside.
    source = next(files[name] for name in ("ratings.csv", "ratings.dat", "u.data") if name in files)
    lines = [line for line in source.replace(b"\r", b"\n").split(b"\n") if line]
    assert tables["ratings"].num_rows == len(lines) - ("ratings.csv" in files)
