"""The tasks of score_users: present_champion → score_lists, score_similar → publish.

Both scoring tasks write below one version's prefix and end with one create-only object that names what
they wrote. A task that is run again finds it and returns it; what a killed attempt left is named nowhere,
and `publish` removes it before readers are pointed at the folder.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.config import ScoreConfig
from recsys.errors import AlreadyExistsError, GateError, NotFoundError
from recsys.messages import ChampionRef, PublishedTables, WrittenTable
from recsys.models.recommender import Recommender
from recsys.registry.champions import serving
from recsys.scoring.folded_users import with_new_users
from recsys.scoring.movies_table import catalogue_table
from recsys.scoring.parts import write_parts
from recsys.scoring.similar import similar_model
from recsys.scoring.source_id_columns import SourceIds, without
from recsys.scoring.table_rules import check_lists, check_similar
from recsys.scoring.user_lists import write_lists
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.releases import FileRow, Lineage
from recsys.storage.snapshots import has_ratings, read_ids, read_manifest, seen_key
from recsys.storage.tables import read_json, read_table, write_json, write_table
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

Files = Mapping[str, Sequence[FileRow]]
Checks = Mapping[str, Mapping[str, int]]


def present_champion(workspace: Workspace, announced: ChampionRef) -> ChampionRef:
    """The announced champion, or the one that took its place since.

    Where there is none any more, the announced one is returned, for `check_is_champion` to refuse.
    """
    uri = announced.model.uri
    try:
        present = serving(workspace, announced.dataset, announced.snapshot_id)
    except NotFoundError as error:
        log.warning("%s was announced, and is not champion any more: %s", uri, error)
        return announced
    model = {name: getattr(present, name) for name in ("model", "mlflow_run_id", "model_prefix")}
    if present.model.uri != uri:
        log.warning("%s was announced; %s is champion now and is used", uri, present.model.uri)
        model["announced_uri"] = uri
    return announced.model_copy(update=model)


def check_is_champion(workspace: Workspace, champion: ChampionRef) -> None:
    """Refuse to make or publish lists of a model that was replaced or deleted meanwhile.

    Raises:
        GateError: another model is champion now.
        NotFoundError: none is.
    """
    present = serving(workspace, champion.dataset, champion.snapshot_id)
    if present.model.uri != champion.model.uri:
        raise GateError(
            f"{champion.model.uri} is no longer champion, {present.model.uri} is. Nothing was published, and the "
            "current release stands. Trigger score_users, unless a run of it is waiting already."
        )


def score_lists(workspace: Workspace, champion: ChampionRef, config: ScoreConfig, scoring_id: str) -> WrittenTable:
    """Write the top k movies each user of the snapshot has not rated; readers do not see them yet.

    Args:
        workspace: where things are.
        champion: the model, and the snapshot of the users and movies.
        config: list lengths.
        scoring_id: names this scoring: the same on a retry, another in the next run.
    """
    store = workspace.store

    def write(spark: "SparkSession", version_id: str) -> list[FileRow]:
        recommender, folded = with_new_users(_recommender(store, champion), store, champion.snapshot_id)
        return write_lists(
            spark,
            store,
            recommender,
            _column(_snapshot(store, champion, "movies"), columns.MOVIE_ID),
            seen_key(store, champion.snapshot_id),
            layout.version_table(version_id, "recommendations"),
            config.k,
            folded,
            _source_ids(store, champion),
        )

    return _once(workspace, "recommendations", version_id_of(champion, config, scoring_id), write)


def score_similar(workspace: Workspace, champion: ChampionRef, config: ScoreConfig, scoring_id: str) -> WrittenTable:
    """Write the nearest movies of every movie of the snapshot; arguments as for `score_lists`."""
    store = workspace.store

    def write(spark: "SparkSession", version_id: str) -> list[FileRow]:
        recommender, movies = _recommender(store, champion), _snapshot(store, champion, "movies")
        model = similar_model(
            (recommender.ranking.movie_ids, recommender.ranking.movie_factors),
            (recommender.popular_ids, recommender.popular_counts),
            _column(movies, columns.MOVIE_ID),
            movies.column(columns.GENRES).to_pylist(),
            config.n_similar,
            config.similarity,
            config.min_support,
        )
        frame, n_tasks = spark.createDataFrame(movies.select([columns.MOVIE_ID])), spark.sparkContext.defaultParallelism
        prefix = layout.version_table(version_id, "similar_movies")
        named = _source_ids(store, champion).beside_all(model)
        return write_parts(frame, named, store, prefix, columns.MOVIE_ID, n_tasks)

    return _once(workspace, "similar_movies", version_id_of(champion, config, scoring_id), write)


def publish(
    workspace: Workspace, lists: WrittenTable, similar: WrittenTable, champion: ChampionRef, config: ScoreConfig
) -> PublishedTables:
    """Check what both scoring tasks wrote and make it the current version: three tables at once.

    Args:
        workspace: where things are.
        lists: what `score_lists` wrote.
        similar: what `score_similar` wrote, for the same scoring.
        champion: the model they used.
        config: the list lengths they used.

    Returns:
        The version. One that was released before is not released again, whatever is current now: the number is that of
        its first release.

    Raises:
        DataError: a rule does not hold, or an object is missing; the current release stands.
    """
    store, version_id = workspace.store, lists.version_id
    release = releases.find(store, version_id)
    if release is None:
        files = _files(store, lists, similar, champion)
        checks = _check(store, files, champion, config)
        _remove_strangers(store, version_id, files)
        release = releases.publish(store, version_id, files, _lineage(store, champion, config, checks))
        log.info("release %d: %s, %s", release.number, version_id, checks)
    else:
        releases.repair(store)  # the attempt that released it may have been killed before the pointer
    checks = releases.read_manifest(store, version_id).lineage.checks
    return PublishedTables(
        version_id=version_id,
        number=release.number,
        dataset=champion.dataset,
        uri=store.uri(layout.version(version_id)),
        n_users=checks["recommendations"]["n_users"],
        n_movies=checks["similar_movies"]["n_movies"],
    )


def version_id_of(champion: ChampionRef, config: ScoreConfig, scoring_id: str) -> str:
    """The version a scoring writes: readable, fit for a key, and the same on every retry.

    >>> model = {"name": "recsys-sample", "number": 1, "uri": "models:/recsys-sample/1"}
    >>> others = {"mlflow_run_id": "r", "model_prefix": "models/r", "dataset": "sample"}
    >>> champion = ChampionRef.read({"model": model, **others, "snapshot_id": "sample-0123456789ab"})
    >>> version_id_of(champion, ScoreConfig(), "manual 2026/11/21")
    'recsys-sample-v1-sample-0123456789ab-k10-1001efe9'
    """
    digest = hashlib.sha256(f"{scoring_id}\0{config.model_dump_json()}".encode()).hexdigest()[:8]
    name = f"{champion.model.label}-{champion.snapshot_id}-k{config.k}"
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('.-')}-{digest}"


def _once(
    workspace: Workspace, table: str, version_id: str, write: Callable[["SparkSession", str], list[FileRow]]
) -> WrittenTable:
    def written() -> list[FileRow]:
        with workspace.spark(f"recsys score {table}") as spark:
            return write(spark, version_id)

    rows = _once_written(workspace.store, version_id, table, written)
    n_rows = sum(row.n_rows for row in rows)
    log.info("%s: %s rows in %d objects of version %s", table, f"{n_rows:,}", len(rows), version_id)
    return WrittenTable(version_id=version_id, files_key=_files_key(version_id, table), n_rows=n_rows)


def _once_written(store: Store, version_id: str, table: str, write: Callable[[], list[FileRow]]) -> list[FileRow]:
    """The files of a table: those of the attempt that finished first, now or earlier."""
    key = _files_key(version_id, table)
    if not store.exists(key):
        try:
            write_json(store, key, [row.to_json() for row in write()])
        except AlreadyExistsError:
            log.info("another attempt finished %s of %s first; its rows are used", table, version_id)
    return _read_files(store, key)


def _files(store: Store, lists: WrittenTable, similar: WrittenTable, champion: ChampionRef) -> Files:
    """Those of all three tables; the movies are written now."""
    version_id = lists.version_id
    movies = _once_written(store, version_id, "movies", lambda: _write_catalogue(store, champion, version_id))
    written = {"recommendations": lists, "similar_movies": similar}
    return {**{name: _read_files(store, table.files_key) for name, table in written.items()}, "movies": movies}


def _read_files(store: Store, key: str) -> list[FileRow]:
    return [FileRow.of(row, store.uri(key)) for row in read_json(store, key)]


def _files_key(version_id: str, table: str) -> str:
    return f"{layout.version(version_id)}/_files/{table}.json"


def _write_catalogue(store: Store, champion: ChampionRef, version_id: str) -> list[FileRow]:
    ratings = _snapshot(store, champion, "ratings", [columns.MOVIE_ID, columns.RATING])
    table = catalogue_table(
        _snapshot(store, champion, "movies"),
        _snapshot(store, champion, "links"),
        _column(ratings, columns.MOVIE_ID),
        _column(ratings, columns.RATING) if has_ratings(store, champion.snapshot_id) else None,
        _recommender(store, champion).predict,
    )
    key = f"{layout.version_table(version_id, 'movies')}/part-00000.parquet"
    return [FileRow(**write_table(store, key, _source_ids(store, champion).beside(table), overwrite=True))]


def _check(store: Store, files: Files, champion: ChampionRef, config: ScoreConfig) -> Checks:
    ratings = _snapshot(store, champion, "ratings", [columns.USER_ID, columns.MOVIE_ID])
    catalogue = _column(_snapshot(store, champion, "movies"), columns.MOVIE_ID)
    users, movies = _column(ratings, columns.USER_ID), _column(ratings, columns.MOVIE_ID)
    lists = _stored(store, files["recommendations"], columns.RECOMMENDATIONS)
    similar = _stored(store, files["similar_movies"], columns.SIMILAR_MOVIES)
    pair = _recommender(store, champion)
    supported = pair.popular_ids[pair.popular_counts >= config.min_support]
    return {
        "recommendations": check_lists(lists, users, movies, catalogue, config.k, has_ratings=pair.rating is not None),
        "similar_movies": check_similar(similar, catalogue, config.n_similar, config.similarity, supported),
    }


def _remove_strangers(store: Store, version_id: str, files: Files) -> None:
    """Delete what killed attempts left in the tables' folders, so that reading a folder reads the version."""
    named = {row.key for rows in files.values() for row in rows}
    for table in files:
        for key in list(store.list(f"{layout.version_table(version_id, table)}/")):
            if key not in named:
                log.warning("%s was left by an attempt that did not finish; it is removed", key)
                store.delete(key)


def _lineage(store: Store, champion: ChampionRef, config: ScoreConfig, checks: Checks) -> Lineage:
    snapshot = read_manifest(store, champion.snapshot_id)
    return Lineage(
        snapshot_id=champion.snapshot_id,
        run_id=champion.mlflow_run_id,
        model_version=champion.model.label,
        model_uri=champion.model.uri,
        dataset=snapshot.dataset,
        is_invented=snapshot.is_invented,
        **config.model_dump(),
        rating_scale=snapshot.rating_scale,
        checks=checks,
    )


def _recommender(store: Store, champion: ChampionRef) -> Recommender:
    model = Recommender.from_bytes(store.get(layout.recommender(champion.model_prefix)))
    # A champion may have learned from stars, and the newest snapshot hold counts.
    return model if has_ratings(store, champion.snapshot_id) else model.without_rating()


def _source_ids(store: Store, champion: ChampionRef) -> SourceIds:
    return SourceIds.of(read_ids(store, champion.snapshot_id))


def _snapshot(store: Store, champion: ChampionRef, table: str, names: list[str] | None = None) -> pa.Table:
    return read_table(store, layout.snapshot_table(champion.snapshot_id, table), names)


def _stored(store: Store, rows: Iterable[FileRow], schema: pa.Schema) -> pa.Table:
    tables = [without(read_table(store, row.key)) for row in rows]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _column(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = table.column(name).to_numpy()
    return values
