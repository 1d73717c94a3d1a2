"""The sample: invented data in the layout of MovieLens, so that it takes the very path the real one takes.

Everything follows from the configuration's seed and sizes: the same ones give the same bytes (on one
machine with one NumPy). Ratings are drawn and written in blocks of users: 25 million take minutes and
well under 1 GB.
"""

import csv
import io
import logging
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from recsys.config import IngestConfig
from recsys.ingest.synthetic.taste import GENRES, Block, World, draw_ratings, invent_world
from recsys.ingest.synthetic.titles import invent_titles

log = logging.getLogger(__name__)

GENERATOR_VERSION = "1"
"""Part of the sample's key in the store: raise it when the same configuration would give other data."""

_FOLDER = "sample"
_FIRST_IMDB_ID = 99_000_000  # IMDb had given out numbers up to 40 million in 2026
_TAG_SHARE = 0.02
_FIRST_YEAR, _LAST_YEAR = 1925, 2014  # all movies are out before the first rating, in 2015
_STARS = pa.array([f"{half / 2:.1f}" for half in range(11)])
_PROGRESS_S = 5.0

_TAGS: dict[str, str] = {
    "Action": "explosive|great stunts|car chase", "Adventure": "treasure hunt|epic|beautiful scenery",
    "Animation": "hand-drawn|great for kids|charming", "Children": "family|talking animals|sweet",
    "Comedy": "hilarious|quirky|deadpan", "Crime": "heist|twist ending|gritty",
    "Documentary": "thought-provoking|eye-opening|narration", "Drama": "moving|slow|great acting",
    "Fantasy": "magic|dragons|world building", "Film-Noir": "femme fatale|black and white|moody",
    "Horror": "creepy|gory|jump scares", "Musical": "great songs|choreography|toe-tapping",
    "Mystery": "whodunit|clever|atmospheric", "Romance": "chick flick|bittersweet|chemistry",
    "Sci-Fi": "space|time travel|dystopia", "Thriller": "suspense|tense|plot holes",
    "War": "anti-war|based on a true story|tragic", "Western": "gunfight|desert|revenge",
}  # fmt: skip
_ANY_TAGS = ("in my queue", "rewatch", "overrated", "underrated", "beautifully shot", "saw it, twice", 'the "good" one')

_README = """\
Sample data with invented movies
================================

Nothing in this archive is real. Every movie, user, rating, tag and link was made up by a random number
generator ({users:,} users and {movies:,} movies were asked for, {ratings:,} ratings, seed {seed}).
Any likeness to existing movies is accidental, and the ids of links.csv (tt99…) belong to no page of IMDb.

The files have the layout of MovieLens' CSV releases, so that they can stand in for one: ratings.csv,
movies.csv, links.csv, tags.csv. No terms apply to them.
"""


def write_sample(config: IngestConfig, path: Path) -> None:
    """Write the sample as a zip archive in the CSV layout of MovieLens.

    Args:
        config: its `sample_…` fields give sizes and seed. Ratings are capped at all pairs of user and movie.
        path: the file to write; replaced if it exists.
    """
    seeds = np.random.SeedSequence(config.sample_seed).spawn(4)
    for_world, for_movies, for_ratings, for_tags = map(np.random.default_rng, seeds)
    world = invent_world(config.sample_users, config.sample_movies, config.sample_ratings, for_world)
    # Ids have gaps, as the real ones have: nothing downstream may take them for positions.
    movie_ids = np.cumsum(for_movies.geometric(0.4, config.sample_movies))
    tags: list[Block] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _write_text(archive, "README.txt", _readme(config))
        _write_movies(archive, world, movie_ids, for_movies)
        _write_links(archive, movie_ids)
        with _member(archive, "ratings.csv") as file:
            _write_ratings(file, world, movie_ids, for_ratings, tags, for_tags)
        _write_tags(archive, world, movie_ids, tags, for_tags)


def _write_ratings(
    file: IO[bytes],
    world: World,
    movie_ids: NDArray[np.int64],
    rng: np.random.Generator,
    tags: list[Block],
    for_tags: np.random.Generator,
) -> None:
    total = int(world.n_by_user.sum())
    file.write(b"userId,movieId,rating,timestamp\r\n")
    started = said = time.monotonic()
    n_written = 0
    for block in draw_ratings(world, rng):
        file.write(_rows(block, movie_ids))
        chosen = np.flatnonzero(for_tags.random(len(block.users)) < _TAG_SHARE)
        tags.append(Block(block.users[chosen], block.movies[chosen], block.half_stars[chosen], block.seconds[chosen]))
        n_written += len(block.users)
        if time.monotonic() - said > _PROGRESS_S:
            said = time.monotonic()
            log.info("sample: %.0f %% of %s ratings invented", 100 * n_written / total, f"{total:,}")
    log.info("sample: %s ratings invented in %.1f s", f"{total:,}", time.monotonic() - started)


def _rows(block: Block, movie_ids: NDArray[np.int64]) -> bytes:
    """A block as lines of ratings.csv, each user's movies in ascending order, as MovieLens sorts them."""
    order = np.lexsort((block.movies, block.users))
    table = pa.table({
        "userId": block.users[order] + 1,
        "movieId": movie_ids[block.movies[order]],
        "rating": _STARS.take(pa.array(block.half_stars[order])),
        "timestamp": block.seconds[order],
    })  # fmt: skip
    buffer = io.BytesIO()
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none", batch_size=65_536)
    pa_csv.write_csv(table, buffer, options)
    return buffer.getvalue().replace(b"\n", b"\r\n")


def _write_movies(
    archive: zipfile.ZipFile, world: World, movie_ids: NDArray[np.int64], rng: np.random.Generator
) -> None:
    n_movies = len(movie_ids)
    # Triangular towards the present: more movies are made every decade.
    years = np.rint(rng.triangular(_FIRST_YEAR, _LAST_YEAR, _LAST_YEAR + 1, n_movies)).astype(int)
    years = np.minimum(years, _LAST_YEAR)
    genres = [[GENRES[i] for i in np.flatnonzero(row)] for row in world.genres]
    rarest = [names[-1] if names else "Drama" for names in genres]  # GENRES goes from common to rare
    titles = invent_titles(rarest, years.tolist(), rng)
    rows = (
        (movie_id, title, "|".join(sorted(names)) or "(no genres listed)")
        for movie_id, title, names in zip(movie_ids.tolist(), titles, genres, strict=True)
    )
    _write_csv(archive, "movies.csv", ("movieId", "title", "genres"), rows)


def _write_links(archive: zipfile.ZipFile, movie_ids: NDArray[np.int64]) -> None:
    rows = ((movie_id, _FIRST_IMDB_ID + number, "") for number, movie_id in enumerate(movie_ids.tolist(), start=1))
    _write_csv(archive, "links.csv", ("movieId", "imdbId", "tmdbId"), rows)


def _write_tags(
    archive: zipfile.ZipFile,
    world: World,
    movie_ids: NDArray[np.int64],
    blocks: list[Block],
    rng: np.random.Generator,
) -> None:
    _write_csv(archive, "tags.csv", ("userId", "movieId", "tag", "timestamp"), _tag_rows(world, movie_ids, blocks, rng))


def _tag_rows(
    world: World, movie_ids: NDArray[np.int64], blocks: list[Block], rng: np.random.Generator
) -> Iterator[tuple[int, int, str, int]]:
    by_genre = [_TAGS[genre].split("|") for genre in GENRES]
    for block in blocks:
        picks = rng.integers(0, 2**31, size=(len(block.users), 2)).tolist()
        triples = zip(block.users.tolist(), block.movies.tolist(), block.seconds.tolist(), picks, strict=True)
        for user, movie, seconds, pick in triples:
            fitting = [tag for genre in np.flatnonzero(world.genres[movie]) for tag in by_genre[genre]]
            words = fitting if fitting and pick[0] % 4 else _ANY_TAGS
            yield user + 1, int(movie_ids[movie]), words[pick[1] % len(words)], seconds + 20


def _readme(config: IngestConfig) -> str:
    return _README.format(
        users=config.sample_users, movies=config.sample_movies, ratings=config.sample_ratings, seed=config.sample_seed
    )


def _write_text(archive: zipfile.ZipFile, name: str, text: str) -> None:
    with _member(archive, name) as file:
        file.write(text.replace("\n", "\r\n").encode())


def _write_csv(
    archive: zipfile.ZipFile, name: str, header: tuple[str, ...], rows: Iterator[tuple[object, ...]]
) -> None:
    with _member(archive, name) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(header)
        writer.writerows(rows)


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """A member to write, with the fixed date of 1980: the clock must not change the bytes."""
    info = zipfile.ZipInfo(f"{_FOLDER}/{name}")
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as file:
        yield file
