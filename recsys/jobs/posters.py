"""The jobs of fetch_posters: plan → fetch (one task per batch) → write_manifest.

Where posters come from follows from the settings: TMDB with a token; else the site that is configured; else the
local site, which a task then serves itself for its own length. Invented movies are never looked up in TMDB. Drawn
posters are placeholders, and the manifest says so of each (`is_drawn`).
"""

import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.config import PosterConfig, Settings
from recsys.errors import ConfigError, DataError, NotFoundError, PermanentError, RecsysError, TransientError
from recsys.posters.catalogue import read_movies
from recsys.posters.fetcher import Fetcher
from recsys.posters.images import to_poster
from recsys.posters.site import serving
from recsys.posters.sources import Movie, PosterSource, SiteSource, TmdbSource
from recsys.storage import layout, releases
from recsys.storage.store import Store, open_store
from recsys.storage.tables import read_json, read_table, write_json

log = logging.getLogger(__name__)

Row = dict[str, Any]

STORED, MISSING, FAILED = "stored", "missing", "failed"
LOCAL_SITE = "local-site"
# A source that failed this often in a row is away: asking it for every other movie would only take time.
_GIVE_UP_AFTER = 12


def plan(config: PosterConfig, settings: Settings | None = None) -> Row:
    """Choose the movies: those on the published lists, the most recommended first, without those already stored.

    Returns:
        ``{version_id, source, n_wanted, n_reused, batches}``; `batches` holds lists of movie ids.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    version_id = releases.current(store)["version_id"]
    source = source_name(settings, _is_invented(store, version_id))
    movies = {movie.movie_id: movie for movie in read_movies(store, version_id)}
    wanted = _most_recommended(store, version_id)[: config.max_posters]
    stored, images = _entries(store), set(store.list(f"{layout.POSTERS}/images/"))

    def is_there(movie_id: int) -> bool:
        entry = stored.get(movie_id, {})
        same = entry.get("status") == STORED and entry["source"] == source
        return same and entry["identity"] == _identity(movies[movie_id]) and entry["key"] in images

    new = [movie_id for movie_id in wanted if not is_there(movie_id)]
    batches = [new[at : at + config.batch_size] for at in range(0, len(new), config.batch_size)]
    n_reused = len(wanted) - len(new)
    log.info("posters of %d movies from %s: %d are there, %d to fetch", len(wanted), source, n_reused, len(new))
    return {
        "version_id": version_id,
        "source": source,
        "n_wanted": len(wanted),
        "n_reused": n_reused,
        "batches": batches,
    }


def fetch(batch: list[int], config: PosterConfig, settings: Settings | None = None) -> list[Row]:
    """Fetch, check and store the posters of one batch.

    Returns:
        A row per movie: ``{movie_id, status, source, key, sha256, size_bytes, width, height, error, …}``. `status`
        is "stored", "missing" (the source has none) or "failed".

    Raises:
        TransientError: every movie that could have a poster failed, at least one for a reason that may pass.
        PermanentError: they all failed for reasons that will not.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    version_id = releases.current(store)["version_id"]
    movies = {movie.movie_id: movie for movie in read_movies(store, version_id)}
    with (
        open_source(settings, config, movies.values(), is_invented=_is_invented(store, version_id)) as source,
        ThreadPoolExecutor(config.concurrency) as pool,
    ):
        worker = _Worker(store, source)
        outcomes = list(pool.map(worker.row, batch, [movies.get(movie_id) for movie_id in batch]))
    counts = Counter(row["status"] for row in outcomes)
    log.info("batch of %d from %s: %s", len(batch), source.name, dict(counts))
    if worker.faults and not counts[STORED]:
        kind = TransientError if any(isinstance(fault, TransientError) for fault in worker.faults) else PermanentError
        raise kind(
            f"{source.name}: {counts[FAILED]:,} of {len(batch):,} posters failed, none was stored. "
            f"The first reason: {worker.faults[0]}"
        )
    return outcomes


def write_manifest(results: Iterable[Any], plan: Row, settings: Settings | None = None) -> Row:
    """Write the manifest of all known posters anew: what was fetched now, merged with what was there.

    Args:
        results: rows of `fetch`, or lists of them.
        plan: what `plan` returned.
        settings: where things are.

    Returns:
        ``{manifest, n_stored, n_failed, n_missing, n_reused, n_known}``.

    Raises:
        PermanentError: movies are wanted and not one has a poster; the manifest says why of each.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    rows = [row for result in results for row in (result if isinstance(result, list | tuple) else [result])]
    entries = _merged(_entries(store), rows, read_movies(store, plan["version_id"]))
    counts = Counter(entry["status"] for entry in entries)
    document = {
        "updated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version_id": plan["version_id"],
        "source": plan["source"],
        "counts": {status: counts[status] for status in (STORED, MISSING, FAILED)},
        "n_drawn": sum(bool(entry.get("is_drawn")) for entry in entries),
        "note": "Posters with is_drawn are placeholders drawn from title and genres, not the movies' own.",
        "posters": entries,
    }
    write_json(store, layout.POSTER_MANIFEST, document, overwrite=True)
    _remove_unlisted(store, entries)
    now = Counter(row["status"] for row in rows)
    if plan["n_wanted"] and not now[STORED] and not plan["n_reused"]:
        first = next((row["error"] for row in rows if row["error"]), "no batch was fetched")
        raise PermanentError(
            f"{plan['source']} has no poster of any of the {plan['n_wanted']:,} wanted movies: {first} "
            f"{store.uri(layout.POSTER_MANIFEST)} says why of each. Check RECSYS_POSTER_SITE_URL, then run again."
        )
    return {
        "manifest": store.uri(layout.POSTER_MANIFEST),
        "n_stored": now[STORED],
        "n_failed": now[FAILED],
        "n_missing": now[MISSING],
        "n_reused": plan["n_reused"],
        "n_known": counts[STORED],
    }


def source_name(settings: Settings, is_invented: bool) -> str:
    """Where posters will come from; stands in the manifest, and a change of it fetches them anew."""
    if settings.tmdb_token and not is_invented:
        return TmdbSource.name
    return urlsplit(settings.poster_site_url).netloc if settings.poster_site_url else LOCAL_SITE


@contextlib.contextmanager
def open_source(
    settings: Settings, config: PosterConfig, movies: Iterable[Movie], *, is_invented: bool
) -> Iterator[PosterSource]:
    """The source that `source_name` names, with its own client, for the length of a ``with`` block."""
    name = source_name(settings, is_invented)
    with contextlib.ExitStack() as stack:

        def fetcher(*allowed: str) -> Fetcher:
            return stack.enter_context(Fetcher(allowed, config.timeout_s, config.concurrency))

        if settings.tmdb_token and name == TmdbSource.name:
            client = fetcher(TmdbSource.API, TmdbSource.IMAGES)
            yield TmdbSource(settings.tmdb_token.get_secret_value(), client)
            return
        address = settings.poster_site_url
        if name == LOCAL_SITE:
            by_imdb_id = {movie.imdb_id: movie for movie in movies if movie.imdb_id}
            address = stack.enter_context(serving(by_imdb_id.get))
        elif urlsplit(address).scheme not in {"http", "https"} or not name:
            raise ConfigError(
                f"RECSYS_POSTER_SITE_URL is {address!r}; a base URL such as https://example.org is needed."
            )
        yield SiteSource(address, fetcher(address), name)


class _Worker:
    """Turns movies into rows, in several threads; remembers what went wrong."""

    def __init__(self, store: Store, source: PosterSource) -> None:
        self._store, self._source = store, source
        self._n_faults_in_a_row = 0
        self.faults: list[RecsysError] = []

    def row(self, movie_id: int, movie: Movie | None) -> Row:
        row: Row = {"movie_id": movie_id, "source": self._source.name, "identity": _identity(movie), "error": None}
        try:
            return row | self._stored(movie_id, movie)
        except NotFoundError as error:
            self._n_faults_in_a_row = 0
            return row | {"status": MISSING, "error": str(error)}
        except RecsysError as error:
            self.faults.append(error)
            # A bad image says nothing of the next one; a source that is away or refuses us does.
            self._n_faults_in_a_row += not isinstance(error, DataError)
            return row | {"status": FAILED, "error": f"{type(error).__name__}: {error}"}

    def _stored(self, movie_id: int, movie: Movie | None) -> Row:
        if movie is None:
            raise NotFoundError(f"movie {movie_id} is not in the current release any more.")
        if self._n_faults_in_a_row >= _GIVE_UP_AFTER:
            kind = TransientError if isinstance(self.faults[-1], TransientError) else PermanentError
            raise kind(f"not asked for: {self._source.name} failed {_GIVE_UP_AFTER} times in a row before.")
        found = self._source.find(movie)
        poster = to_poster(found.body)
        self._n_faults_in_a_row = 0
        key = layout.poster_image(movie.movie_id)
        self._store.put(key, poster.data, overwrite=True)
        return {
            "status": STORED,
            "key": key,
            "sha256": hashlib.sha256(poster.data).hexdigest(),
            "size_bytes": len(poster.data),
            "width": poster.width,
            "height": poster.height,
            "is_drawn": found.is_drawn,
            "page_url": found.page_url,
            "image_url": found.image_url,
            "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _merged(former: dict[int, Row], rows: list[Row], movies: list[Movie]) -> list[Row]:
    """Former entries that are still of the same movie, under what was fetched now; by movie id."""
    # Another data set gives the same id to another movie: its poster must not be shown for this one.
    identities = {movie.movie_id: _identity(movie) for movie in movies}
    merged = {at: entry for at, entry in former.items() if identities.get(at, entry["identity"]) == entry["identity"]}
    for row in rows:
        had = merged.get(row["movie_id"], {})
        # What could not be fetched now does not push aside a poster that was fetched before.
        if row["status"] == STORED or had.get("status") != STORED:
            merged[row["movie_id"]] = row
    return [merged[movie_id] for movie_id in sorted(merged)]


def _remove_unlisted(store: Store, entries: list[Row]) -> None:
    listed = {entry["key"] for entry in entries if entry["status"] == STORED}
    for key in list(store.list(f"{layout.POSTERS}/images/")):
        if key not in listed:
            store.delete(key)


def _entries(store: Store) -> dict[int, Row]:
    if not store.exists(layout.POSTER_MANIFEST):
        return {}
    return {entry["movie_id"]: entry for entry in read_json(store, layout.POSTER_MANIFEST)["posters"]}


def _identity(movie: Movie | None) -> str:
    """A digest of what a poster depends on: it changes when an id comes to stand for another movie."""
    return hashlib.sha256(repr(movie and astuple(movie)).encode()).hexdigest()[:16]


def _most_recommended(store: Store, version_id: str) -> list[int]:
    keys = releases.table_keys(store, "recommendations", version_id)
    tables = [read_table(store, key, [columns.MOVIE_ID]) for key in keys]
    if not tables:
        return []
    ids, counts = np.unique(pa.concat_tables(tables).column(columns.MOVIE_ID).to_numpy(), return_counts=True)
    most_first: list[int] = ids[np.lexsort((ids, -counts))].tolist()
    return most_first


def _is_invented(store: Store, version_id: str) -> bool:
    return bool(releases.read_manifest(store, version_id)["lineage"].get("is_invented"))
