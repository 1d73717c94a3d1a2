"""Archives that must be refused, each built from scratch: what it is called, how it is made, and the words for it."""

import gzip
import stat
import struct
import zipfile
import zlib

RATINGS = b"userId,movieId,rating,timestamp\n" + b"1,10,4.0,964982703\n" * 50
MOVIES = b"movieId,title,genres\n10,Toy Story (1995),Comedy\n"


def write_zip(path, *members, compression=zipfile.ZIP_DEFLATED):
    """A sound archive of a tiny MovieLens release, and `members` (name or ZipInfo, bytes) besides."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in [("ratings.csv", RATINGS), ("movies.csv", MOVIES), *members]:
            archive.writestr(name, data)
    return path


def patched(path, at, data, nth=0):
    """Overwrite bytes of the nth entry of the list of members, `at` bytes after its beginning."""
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(nth + 1):
        start = content.index(b"PK\x01\x02", start + 1)
    content[start + at : start + at + len(data)] = data
    path.write_bytes(content)
    return path


def raw_zip(path, blocks, entries):
    """A zip file of raw `blocks`, whose list says what `entries` (name, data it is said to hold, offset) say."""
    listing = b""
    for name, data, offset in entries:
        sums = (zlib.crc32(data), len(data), len(data), len(name))
        listing += struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, *sums, 0, 0, 0, 0, 0, offset)
        listing += name
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(listing), len(blocks), 0)
    path.write_bytes(blocks + listing + end)
    return path


def local_file(name, data):
    sums = (zlib.crc32(data), len(data), len(data), len(name))
    return struct.pack("<4s2B4HL2L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, *sums, 0) + name + data


def overlapping(path):
    """ "Quoted" overlap: the first member's bytes are the second's header and bytes."""
    inner = local_file(b"movies.csv", MOVIES)
    outer = local_file(b"ratings.csv", inner)
    offset = len(outer) - len(inner)
    return raw_zip(path, outer, [(b"ratings.csv", inner, 0), (b"movies.csv", MOVIES, offset)])


def sharing(path):
    """Full overlap: one body under two names."""
    return raw_zip(
        path, local_file(b"ratings.csv", RATINGS), [(b"ratings.csv", RATINGS, 0), (b"rating2.csv", RATINGS, 0)]
    )


def linked(path):
    link = zipfile.ZipInfo("links.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return write_zip(path, (link, b"/etc/passwd"))


def long_listing(path):
    infos = [zipfile.ZipInfo(f"{number}.txt") for number in range(300)]
    for info in infos:
        info.comment = b"x" * 60_000
    return write_zip(path, *((info, b"") for info in infos))


def declaring_too_much(path):
    write_zip(path, *((f"{number}.csv", b"") for number in range(5)))
    for number in range(5):
        patched(path, 24, struct.pack("<L", 0xFFFFFFFE), nth=number)  # "uncompressed size"
    return path


def cut_short(path):
    write_zip(path)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def flipped(path):
    write_zip(path, compression=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"Toy Story")] ^= 1
    path.write_bytes(content)
    return path


def repeated(path):
    write_zip(path, ("movie2.csv", MOVIES))
    path.write_bytes(path.read_bytes().replace(b"movie2.csv", b"movies.csv"))
    return path


def written(content):
    def write(path):
        path.write_bytes(content)
        return path

    return write


def with_member(name, data=b"1"):
    return lambda path: write_zip(path, (name, data))


def only(name, data, compression=zipfile.ZIP_DEFLATED):
    def write(path):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr(name, data)
        return path

    return write


def two_data_sets(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/ratings.csv", RATINGS)
        archive.writestr("b/ratings.csv", RATINGS)
    return path


PAGE = b"\n<!DOCTYPE html><html>Please sign in</html>"
ZEROS = bytes(17 << 20)  # deflates about 1,000 times

ZIPS = {
    "climbs out": (with_member("../links.csv"), "climbs out of its folder"),
    "climbs out in the middle": (with_member("ml/../../links.csv"), "climbs out of its folder"),
    "absolute path": (with_member("/etc/cron.d/links.csv"), "has an absolute path"),
    "drive letter": (with_member("C:/links.csv"), "has an absolute path"),
    "drive letter without slash": (with_member("C:links.csv"), "has an absolute path"),
    "backslashes": (with_member("ml\\..\\..\\links.csv"), "control characters or backslashes"),
    "escape sequence in a name": (with_member("links\x1b[2J.csv"), "control characters or backslashes"),
    "line break in a name": (with_member("links\n.csv"), "control characters or backslashes"),
    "reversed writing in a name": (with_member("links\u202evsc.exe"), "control characters or backslashes"),
    "symbolic link": (linked, "is a symbolic link or a special file"),
    "bomb by ratio": (with_member("tags.csv", ZEROS), "claims to unpack .* more than 200 times its size"),
    "bomb by declared total": (declaring_too_much, r"unpacks to 21,47\d,\d{3},\d{3} bytes, 17,179,869,184 allowed"),
    "longer than declared": (
        lambda path: patched(write_zip(path), 24, struct.pack("<L", 10)),
        r"ratings\.csv (is damaged|declares)",
    ),
    "shorter than declared": (
        lambda path: patched(write_zip(path), 24, struct.pack("<L", 5_000)),
        r"ratings\.csv (is damaged|declares)",
    ),
    "quoted overlap": (overlapping, "'ratings.csv' and 'movies.csv' overlap"),
    "shared bytes": (sharing, "overlap: they claim the same bytes"),
    "too many members": (
        lambda path: write_zip(path, *((f"{number}.txt", b"") for number in range(9_999))),
        "10,001 members or more, 10,000 allowed",
    ),
    "too long a list of members": (long_listing, "the list of its members takes .* 16,777,216 allowed"),
    "encrypted": (lambda path: patched(write_zip(path), 8, b"\x01"), "is encrypted"),
    "unsupported compression": (only("ratings.csv", RATINGS, zipfile.ZIP_BZIP2), "is compressed by method 12"),
    "cut short": (cut_short, "is a zip file cut short or damaged at its end"),
    "flipped bit": (flipped, r"movies\.csv is damaged \(Bad CRC-32"),
    "archive in an archive": (only("ml-25m.zip", b"PK\x03\x04"), r"ml-25m\.zip is an archive in an archive"),
    "too deep": (with_member("a/" * 40 + "links.csv"), "lies more than 32 folders deep"),
    "two data sets": (two_data_sets, r"a/ratings\.csv, b/ratings\.csv could all be the ratings"),
    "duplicate name": (repeated, "'movies.csv' appears twice"),
    "names that differ in case": (with_member("Movies.CSV"), "differs from 'movies.csv' in upper and lower case only"),
    "nothing inside": (written(b"PK\x05\x06" + bytes(18)), "found no files at all"),
    "empty": (written(b""), r"\(0 bytes\) is not a zip file"),
    "text": (written(RATINGS), "is not a zip file"),
    "web page": (written(PAGE), "web page"),
}
FILES = {
    "gzip bomb": ("ratings.csv.gz", written(gzip.compress(ZEROS)), "over 200 times its size"),
    "gzip cut short": ("ratings.csv.gz", written(gzip.compress(RATINGS)[:-9]), r"ratings\.csv is damaged"),
    "web page as a table": ("ratings.csv", written(PAGE), "is a web page, not a table"),
}
