"""The tasks of fetch_posters: plan → fetch (one task per batch) → write_manifest.

All three work on one published version, the one whose lists are given. Where posters come from follows from the
settings: TMDB with a token; else the site that is configured; else, for synthetic movies, the local site, which a task
then serves itself for its own length. Movies that have no source get a title card. The manifest marks what is drawn
(`is_drawn`) and says why (`drawn_because`).
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from math import ceil

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.config import PosterConfig
from recsys.errors import PermanentError, TransientError
from recsys.messages import PosterManifestRef, PosterPlan, PublishedTables
from recsys.posters.choosing import obstacle, open_source, source_name
from recsys.posters.manifest import FAILED, MISSING, STORED, PosterEntry, PosterManifest, read_entries, read_stored
from recsys.posters.poster_sources import Movie
from recsys.posters.storing import PosterWriter
from recsys.posters.wanted_movies import identity, read_movies
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.tables import read_table
from recsys.workspace import Workspace

log = logging.getLogger(__name__)


def plan(workspace: Workspace, tables: PublishedTables, config: PosterConfig, *, max_batches: int = 1024) -> PosterPlan:
    """Choose the movies: those on the lists, the most recommended first, without those already stored.

    Args:
        workspace: where things are.
        tables: the published version whose lists count.
        config: how many posters, and how many a batch.
        max_batches: more would not be taken by the scheduler (Airflow's `max_map_length`), so batches grow instead.

    Raises:
        NotFoundError: the version's tables are gone.
    """
    store, version_id = workspace.store, tables.version_id
    movies = {movie.movie_id: movie for movie in read_movies(store, version_id)}
    source = source_name(workspace.settings, _is_invented(store, version_id))
    identities = _identities(store, version_id)
    listed = _most_recommended(store, version_id)
    superseded = {at for at in listed if identities[at] != identity(movies[at])}
    wanted = [movies[at] for at in listed if at not in superseded][: config.max_posters]
    stored = read_stored(store)
    new = [movie.movie_id for movie in wanted if not _is_done(stored.get(movie.movie_id), movie, source)]
    size = max(config.batch_size, ceil(len(new) / max_batches))
    n_reused = len(wanted) - len(new)
    log.info("posters of %d movies from %s: %d are there, %d to fetch", len(wanted), source, n_reused, len(new))
    if superseded:
        log.warning("%d movies are left out: their ids stand for others in the current release", len(superseded))
    return PosterPlan(
        tables=tables,
        source=source,
        n_wanted=len(wanted),
        n_reused=n_reused,
        n_superseded=len(superseded),
        batches=tuple(tuple(new[at : at + size]) for at in range(0, len(new), size)),
    )


def fetch(
    workspace: Workspace, batch: Sequence[int], tables: PublishedTables, config: PosterConfig
) -> list[PosterEntry]:
    """Fetch, check and store the posters of one batch of movies; draw those that have no source.

    Returns:
        An entry per movie of the batch, in its order.

    Raises:
        TransientError: the source was asked, it gave not one poster, and it failed at least once for a reason that
            may pass.
        PermanentError: the same, for reasons that will not.
    """
    store, version_id = workspace.store, tables.version_id
    movies = {movie.movie_id: movie for movie in read_movies(store, version_id)}
    has_own = [
        movie_id
        for movie_id, entry in read_stored(store).items()
        if not entry.is_drawn and movie_id in movies and entry.identity == identity(movies[movie_id])
    ]
    is_invented = _is_invented(store, version_id)
    with (
        open_source(workspace.settings, config, movies.values(), is_invented=is_invented) as source,
        ThreadPoolExecutor(config.concurrency) as pool,
    ):
        writer = PosterWriter(store, source, frozenset(has_own))
        entries = list(pool.map(writer.entry, [movies[movie_id] for movie_id in batch]))
    counts = Counter(entry.source if entry.status == STORED else entry.status for entry in entries)
    log.info("batch of %d from %s: %s", len(batch), writer.source_name, dict(counts))
    if writer.faults and not counts[writer.source_name]:
        kind = TransientError if any(isinstance(fault, TransientError) for fault in writer.faults) else PermanentError
        raise kind(
            f"{writer.source_name}: {counts[FAILED]:,} of {len(batch):,} posters failed, none was fetched. "
            f"The first reason: {writer.faults[0]}"
        )
    return entries


def write_manifest(workspace: Workspace, fetched: Iterable[PosterEntry], plan: PosterPlan) -> PosterManifestRef:
    """Write the manifest of all known posters anew: what was fetched now, merged with what was there."""
    store, version_id, now = workspace.store, plan.tables.version_id, list(fetched)
    entries = _merged(read_entries(store), now, _identities(store, version_id))
    counts = Counter(entry.status for entry in entries)
    PosterManifest(
        updated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version_id=version_id,
        source=plan.source,
        counts={status: counts[status] for status in (STORED, MISSING, FAILED)},
        n_drawn=sum(entry.is_drawn for entry in entries),
        posters=tuple(entries),
    ).write(store)
    _remove_unlisted(store, entries)
    by_status = Counter(entry.status for entry in now)
    if by_status[STORED] and not any(entry.source == plan.source for entry in now):
        log.warning("%s has a poster of none of these %d movies: see the manifest", plan.source, by_status[STORED])
    return PosterManifestRef(
        uri=store.uri(layout.POSTER_MANIFEST),
        version_id=version_id,
        n_stored=by_status[STORED],
        n_drawn=sum(entry.is_drawn for entry in now),
        n_failed=by_status[FAILED],
        n_missing=by_status[MISSING],
        n_reused=plan.n_reused,
        n_known=counts[STORED],
    )


def _is_done(entry: PosterEntry | None, movie: Movie, source: str) -> bool:
    """Whether what is stored of a movie is what its source has, or a title card where it cannot be asked."""
    if entry is None or entry.identity != identity(movie):
        return False
    if reason := obstacle(source, movie):
        return not entry.is_drawn or entry.drawn_because == reason
    return entry.source == source


def _identities(store: Store, version_id: str) -> dict[int, str]:
    """What each movie id stands for: in the current release, else in this version.

    Images are named by movie id and shown beside the current release. Where another data set was published since,
    an id may stand for another movie, and a poster of this version's must not be shown for it.
    """
    current = releases.current(store).version_id
    return {
        movie.movie_id: identity(movie)
        for version in dict.fromkeys([version_id, current])
        for movie in read_movies(store, version)
    }


def _merged(
    former: Mapping[int, PosterEntry], fetched: Iterable[PosterEntry], identities: Mapping[int, str]
) -> list[PosterEntry]:
    """Former entries that are still of the same movie, under what was fetched now; by movie id."""

    def is_same(entry: PosterEntry) -> bool:
        return identities.get(entry.movie_id, entry.identity) == entry.identity

    merged = {at: entry for at, entry in former.items() if is_same(entry)}
    for entry in fetched:
        before = merged.get(entry.movie_id)
        if not is_same(entry):
            merged.pop(entry.movie_id, None)  # superseded while it was fetched: its image has replaced the other
        # What could not be fetched now does not push aside a poster that was fetched before.
        elif entry.status == STORED or before is None or before.status != STORED:
            merged[entry.movie_id] = entry
    return [merged[movie_id] for movie_id in sorted(merged)]


def _remove_unlisted(store: Store, entries: Iterable[PosterEntry]) -> None:
    listed = {entry.key for entry in entries if entry.status == STORED}
    for key in list(store.list(f"{layout.POSTERS}/images/")):
        if key not in listed:
            store.delete(key)


def _most_recommended(store: Store, version_id: str) -> list[int]:
    keys = releases.table_keys(store, "recommendations", version_id)
    tables = [read_table(store, key, [columns.MOVIE_ID]) for key in keys]
    if not tables:
        return []
    ids, counts = np.unique(pa.concat_tables(tables).column(columns.MOVIE_ID).to_numpy(), return_counts=True)
    most_first: list[int] = ids[np.lexsort((ids, -counts))].tolist()
    return most_first


def _is_invented(store: Store, version_id: str) -> bool:
    return releases.read_manifest(store, version_id).lineage.is_invented
