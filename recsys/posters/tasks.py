"""The jobs of fetch_posters: plan → fetch (one task per batch) → write_manifest.

All three work on one release, the one whose lists are given. Where posters come from follows from the settings: TMDB
with a token; else the site that is configured; else, for invented movies, the local site, which a task then serves
itself for its own length. Movies that have no source get a title card. The manifest marks what is drawn (`is_drawn`)
and says why (`drawn_because`).
"""

import logging
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.config import PosterConfig, Settings
from recsys.errors import PermanentError, TransientError
from recsys.posters.choosing import obstacle, open_source, source_name
from recsys.posters.poster_sources import Movie
from recsys.posters.storing import FAILED, MISSING, STORED, PosterWriter
from recsys.posters.wanted_movies import identity, read_movies
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table, write_json

log = logging.getLogger(__name__)

Row = dict[str, Any]


def plan(release: Row, config: PosterConfig, settings: Settings | None = None, *, max_batches: int = 1024) -> Row:
    """Choose the movies: those on a release's lists, the most recommended first, without those already stored.

    Args:
        release: what publishing it returned; its ``version_id`` names the lists.
        config: how many posters, and how many a batch.
        settings: where things are.
        max_batches: more would not be taken by the scheduler (Airflow's `max_map_length`), so batches grow instead.

    Returns:
        ``{version_id, source, n_wanted, n_reused, n_superseded, batches}``; `batches` holds lists of movie ids.
        Superseded are movies whose id stands for another movie in the current release, if that is another one.

    Raises:
        NotFoundError: the release's tables are gone.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    version_id = release["version_id"]
    movies = {movie.movie_id: movie for movie in read_movies(store, version_id)}
    source = source_name(settings, _is_invented(store, version_id))
    identities = _identities(store, version_id)
    listed = _most_recommended(store, version_id)
    superseded = {at for at in listed if identities[at] != identity(movies[at])}
    wanted = [movies[at] for at in listed if at not in superseded][: config.max_posters]
    stored = _entries_with_images(store)
    new = [movie.movie_id for movie in wanted if not _is_done(stored.get(movie.movie_id), movie, source)]
    size = max(config.batch_size, ceil(len(new) / max_batches))
    n_reused, n_superseded = len(wanted) - len(new), len(superseded)
    log.info("posters of %d movies from %s: %d are there, %d to fetch", len(wanted), source, n_reused, len(new))
    if superseded:
        log.warning("%d movies are left out: their ids stand for others in the current release", n_superseded)
    return {
        "version_id": version_id,
        "source": source,
        "n_wanted": len(wanted),
        "n_reused": n_reused,
        "n_superseded": n_superseded,
        "batches": [new[at : at + size] for at in range(0, len(new), size)],
    }


def fetch(batch: list[int], release: Row, config: PosterConfig, settings: Settings | None = None) -> list[Row]:
    """Fetch, check and store the posters of one batch of a release's movies; draw those that have no source.

    Returns:
        A row per movie: ``{movie_id, status, source, key, sha256, size_bytes, width, height, error, …}``; see
        `PosterWriter.row`.

    Raises:
        TransientError: the source was asked, it gave not one poster, and it failed at least once for a reason that
            may pass.
        PermanentError: the same, for reasons that will not.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    version_id = release["version_id"]
    movies = {movie.movie_id: movie for movie in read_movies(store, version_id)}
    has_own = [
        movie_id
        for movie_id, entry in _entries_with_images(store).items()
        if not entry["is_drawn"] and movie_id in movies and entry["identity"] == identity(movies[movie_id])
    ]
    with (
        open_source(settings, config, movies.values(), is_invented=_is_invented(store, version_id)) as source,
        ThreadPoolExecutor(config.concurrency) as pool,
    ):
        writer = PosterWriter(store, source, frozenset(has_own))
        rows = list(pool.map(writer.row, [movies[movie_id] for movie_id in batch]))
    counts = Counter(row["source"] if row["status"] == STORED else row["status"] for row in rows)
    log.info("batch of %d from %s: %s", len(batch), writer.source_name, dict(counts))
    if writer.faults and not counts[writer.source_name]:
        kind = TransientError if any(isinstance(fault, TransientError) for fault in writer.faults) else PermanentError
        raise kind(
            f"{writer.source_name}: {counts[FAILED]:,} of {len(batch):,} posters failed, none was fetched. "
            f"The first reason: {writer.faults[0]}"
        )
    return rows


def write_manifest(results: Iterable[Any], plan: Row, settings: Settings | None = None) -> Row:
    """Write the manifest of all known posters anew: what was fetched now, merged with what was there.

    Args:
        results: rows of `fetch`, or lists of them.
        plan: what `plan` returned.
        settings: where things are.

    Returns:
        ``{manifest, version_id, n_stored, n_drawn, n_failed, n_missing, n_reused, n_known}``; drawn are those of the
        stored ones that are placeholders.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    rows = [row for result in results for row in (result if isinstance(result, list | tuple) else [result])]
    entries = _merged(_entries(store), rows, _identities(store, plan["version_id"]))
    counts = Counter(entry["status"] for entry in entries)
    document = {
        "updated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version_id": plan["version_id"],
        "source": plan["source"],
        "counts": {status: counts[status] for status in (STORED, MISSING, FAILED)},
        "n_drawn": sum(bool(entry.get("is_drawn")) for entry in entries),
        "note": "Posters with is_drawn are placeholders drawn from title and genres, not the movies' own; "
        "drawn_because says why.",
        "posters": entries,
    }
    write_json(store, layout.POSTER_MANIFEST, document, overwrite=True)
    _remove_unlisted(store, entries)
    now = Counter(row["status"] for row in rows)
    n_drawn = sum(bool(row.get("is_drawn")) for row in rows)
    if now[STORED] and not any(row["source"] == plan["source"] for row in rows):
        log.warning("%s has a poster of none of these %d movies: see the manifest", plan["source"], now[STORED])
    return {
        "manifest": store.uri(layout.POSTER_MANIFEST),
        "version_id": plan["version_id"],
        "n_stored": now[STORED],
        "n_drawn": n_drawn,
        "n_failed": now[FAILED],
        "n_missing": now[MISSING],
        "n_reused": plan["n_reused"],
        "n_known": counts[STORED],
    }


def _is_done(entry: Row | None, movie: Movie, source: str) -> bool:
    """Whether what is stored of a movie is what its source has, or a title card where it cannot be asked."""
    if entry is None or entry["identity"] != identity(movie):
        return False
    if reason := obstacle(source, movie):
        return bool(not entry["is_drawn"] or entry.get("drawn_because") == reason)
    return bool(entry["source"] == source)


def _identities(store: Store, version_id: str) -> dict[int, str]:
    """What each movie id stands for: in the current release, else in this version.

    Images are named by movie id and shown beside the current release. Where another data set was published since,
    an id may stand for another movie, and a poster of this version's must not be shown for it.
    """
    current = releases.current(store)["version_id"]
    return {
        movie.movie_id: identity(movie)
        for version in dict.fromkeys([version_id, current])
        for movie in read_movies(store, version)
    }


def _merged(former: dict[int, Row], rows: list[Row], identities: dict[int, str]) -> list[Row]:
    """Former entries that are still of the same movie, under what was fetched now; by movie id."""

    def is_same(entry: Row) -> bool:
        return bool(identities.get(entry["movie_id"], entry["identity"]) == entry["identity"])

    merged = {at: entry for at, entry in former.items() if is_same(entry)}
    for row in rows:
        had = merged.get(row["movie_id"], {})
        if not is_same(row):
            merged.pop(row["movie_id"], None)  # superseded while it was fetched: its image has replaced the other
        # What could not be fetched now does not push aside a poster that was fetched before.
        elif row["status"] == STORED or had.get("status") != STORED:
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


def _entries_with_images(store: Store) -> dict[int, Row]:
    images = set(store.list(f"{layout.POSTERS}/images/"))
    return {at: entry for at, entry in _entries(store).items() if entry["status"] == STORED and entry["key"] in images}


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
