"""The jobs of score_users: score_lists, score_similar → publish.

Both scoring jobs write below one version's prefix and end with one create-only object that names what
they wrote. A job that is run again finds it and returns it; what a killed attempt left is named nowhere,
and `publish` removes it before readers are pointed at the folder.
"""

import hashlib
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.config import ScoreConfig, Settings
from recsys.errors import AlreadyExistsError, GateError, NotFoundError
from recsys.models.recommender import Recommender
from recsys.registry.champions import serving
from recsys.scoring.movies_table import catalogue_table
from recsys.scoring.parts import write_parts
from recsys.scoring.similar import similar_model
from recsys.scoring.source_id_columns import SourceIds, without
from recsys.scoring.table_rules import check_lists, check_similar
from recsys.scoring.user_lists import write_lists
from recsys.spark.session import spark_session
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.snapshots import has_ratings, read_ids, read_manifest, seen_key
from recsys.storage.tables import read_json, read_rows, read_table, write_json, write_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
Ids = NDArray[np.int32]


def present_champion(announced: dict[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    """The announced champion, or the one that took its place since, as `train.promote` returns it.

    Where there is none any more, the announced one is returned, for `check_is_champion` to refuse.
    """
    try:
        champion = {**announced, **serving(announced["dataset"], announced["snapshot_id"], settings)}
    except NotFoundError as error:
        log.warning("%s was announced, and is not champion any more: %s", announced["model_uri"], error)
        return announced
    if champion["model_uri"] != announced["model_uri"]:
        log.warning("%s was announced; %s is champion now and is used", announced["model_uri"], champion["model_uri"])
        champion["announced_model_uri"] = announced["model_uri"]
    return champion


def check_is_champion(champion: dict[str, Any], settings: Settings | None = None) -> None:
    """Refuse to make or publish lists of a model that was replaced or deleted meanwhile.

    Raises:
        GateError: another model is champion now.
        NotFoundError: none is.
    """
    present = serving(champion["dataset"], champion["snapshot_id"], settings)
    if present["model_uri"] != champion["model_uri"]:
        raise GateError(
            f"{champion['model_uri']} is no longer champion, {present['model_uri']} is. Nothing was published, and the "
            "current release stands. Trigger score_users, unless a run of it is waiting already."
        )


def score_lists(
    champion: dict[str, Any], config: ScoreConfig, scoring_id: str, settings: Settings | None = None
) -> dict[str, Any]:
    """Write the top k movies each user of the snapshot has not rated; readers do not see them yet.

    Args:
        champion: model_version, model_uri, run_id, model_prefix and snapshot_id, as `train.promote` returns them.
        config: list lengths.
        scoring_id: names this scoring: the same on a retry, another in the next run.
        settings: where things are; read from the environment by default.

    Returns:
        ``{version_id, files, n_rows}``; `files` is the key of the manifest rows.
    """

    def write(spark: "SparkSession", store: Store, version_id: str) -> Rows:
        recommender, folded = with_newcomers(_recommender(store, champion), store, champion["snapshot_id"])
        return write_lists(
            spark,
            store,
            recommender,
            _column(_snapshot(store, champion, "movies"), columns.MOVIE_ID),
            seen_key(store, champion["snapshot_id"]),
            layout.version_table(version_id, "recommendations"),
            config.k,
            folded,
            _source_ids(store, champion),
        )

    return _once("recommendations", champion, config, scoring_id, settings, write)


def score_similar(
    champion: dict[str, Any], config: ScoreConfig, scoring_id: str, settings: Settings | None = None
) -> dict[str, Any]:
    """Write the nearest movies of every movie of the snapshot; arguments and result as for `score_lists`."""

    def write(spark: "SparkSession", store: Store, version_id: str) -> Rows:
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

    return _once("similar_movies", champion, config, scoring_id, settings, write)


def publish(
    lists: dict[str, Any],
    similar: dict[str, Any],
    champion: dict[str, Any],
    config: ScoreConfig,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Check what both scoring jobs wrote and make it the current release: three tables at once.

    Args:
        lists: what `score_lists` returned.
        similar: what `score_similar` returned, for the same scoring.
        champion: the model they used.
        config: the list lengths they used.
        settings: where things are.

    Returns:
        ``{release, version_id, path, n_users, n_movies}``. A version that was released before is not
        released again, whatever is current now: the first release is returned.

    Raises:
        DataError: a rule does not hold, or an object is missing; the current release stands.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    version_id = lists["version_id"]
    files = {"recommendations": read_json(store, lists["files"]), "similar_movies": read_json(store, similar["files"])}
    release = releases.find(store, version_id)
    if release is None:
        files["movies"] = _once_written(
            store, version_id, "movies", lambda: _write_catalogue(store, champion, version_id)
        )
        report = _check(store, files, champion, config)
        _remove_strangers(store, version_id, files)
        release = releases.publish(store, version_id, files, _lineage(store, champion, config, report))
        log.info("release %d: %s, %s", release["number"], version_id, report)
    else:
        releases.repair(store)  # the attempt that released it may have been killed before the pointer
    report = releases.read_manifest(store, version_id)["lineage"]["checks"]
    return {
        "release": release["number"],
        "version_id": version_id,
        "path": store.uri(layout.version(version_id)),
        "n_users": report["recommendations"]["n_users"],
        "n_movies": report["similar_movies"]["n_movies"],
    }


def with_newcomers(recommender: Recommender, store: Store, snapshot_id: str) -> tuple[Recommender, Ids]:
    """The model with the users of a snapshot whom it does not know folded in, and who they are.

    Whoever has rated nothing the model knows, or likes none of it, stays unknown and gets popular movies.
    """
    key = layout.snapshot_table(snapshot_id, "ratings")
    users = _column(read_table(store, seen_key(store, snapshot_id), [columns.USER_ID]), columns.USER_ID)
    unknown = np.setdiff1d(users, recommender.ranking.user_ids)
    if not len(unknown) or recommender.recipe is None:
        return recommender, unknown[:0]
    ratings = read_rows(store, key, columns.USER_ID, unknown)
    new = recommender.fold_in(*(_column(ratings, name) for name in columns.RATINGS.names))
    log.info("%d users came after the training, %d of them were folded in", len(unknown), len(new.user_ids))
    return recommender.with_users(new), new.user_ids


def version_id_of(champion: dict[str, Any], config: ScoreConfig, scoring_id: str) -> str:
    """The version a scoring writes: readable, fit for a key, and the same on every retry.

    >>> champion = {"model_version": "recsys-sample-v1", "snapshot_id": "sample-0123456789ab"}
    >>> version_id_of(champion, ScoreConfig(), "manual 2026/11/21")
    'recsys-sample-v1-sample-0123456789ab-k10-1001efe9'
    """
    digest = hashlib.sha256(f"{scoring_id}\0{config.model_dump_json()}".encode()).hexdigest()[:8]
    name = f"{champion['model_version']}-{champion['snapshot_id']}-k{config.k}"
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('.-')}-{digest}"


def _once(
    table: str,
    champion: dict[str, Any],
    config: ScoreConfig,
    scoring_id: str,
    settings: Settings | None,
    write: Callable[["SparkSession", Store, str], Rows],
) -> dict[str, Any]:
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    version_id = version_id_of(champion, config, scoring_id)

    def written() -> Rows:
        with spark_session(settings, f"recsys score {table}") as spark:
            return write(spark, store, version_id)

    rows = _once_written(store, version_id, table, written)
    n_rows = sum(row["n_rows"] for row in rows)
    log.info("%s: %s rows in %d objects of version %s", table, f"{n_rows:,}", len(rows), version_id)
    return {"version_id": version_id, "files": _files_key(version_id, table), "n_rows": n_rows}


def _once_written(store: Store, version_id: str, table: str, write: Callable[[], Rows]) -> Rows:
    """The manifest rows of a table: those of the attempt that finished first, now or earlier."""
    key = _files_key(version_id, table)
    if not store.exists(key):
        try:
            write_json(store, key, write())
        except AlreadyExistsError:
            log.info("another attempt finished %s of %s first; its rows are used", table, version_id)
    rows: Rows = read_json(store, key)
    return rows


def _files_key(version_id: str, table: str) -> str:
    return f"{layout.version(version_id)}/_files/{table}.json"


def _write_catalogue(store: Store, champion: dict[str, Any], version_id: str) -> Rows:
    ratings = _snapshot(store, champion, "ratings", [columns.MOVIE_ID, columns.RATING])
    table = catalogue_table(
        _snapshot(store, champion, "movies"),
        _snapshot(store, champion, "links"),
        _column(ratings, columns.MOVIE_ID),
        _column(ratings, columns.RATING) if has_ratings(store, champion["snapshot_id"]) else None,
        _recommender(store, champion).predict,
    )
    key = f"{layout.version_table(version_id, 'movies')}/part-00000.parquet"
    return [write_table(store, key, _source_ids(store, champion).beside(table), overwrite=True)]


def _check(store: Store, files: dict[str, Rows], champion: dict[str, Any], config: ScoreConfig) -> dict[str, Any]:
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


def _remove_strangers(store: Store, version_id: str, files: dict[str, Rows]) -> None:
    """Delete what killed attempts left in the tables' folders, so that reading a folder reads the version."""
    named = {row["key"] for rows in files.values() for row in rows}
    for table in files:
        for key in list(store.list(f"{layout.version_table(version_id, table)}/")):
            if key not in named:
                log.warning("%s was left by an attempt that did not finish; it is removed", key)
                store.delete(key)


def _lineage(store: Store, champion: dict[str, Any], config: ScoreConfig, report: dict[str, Any]) -> dict[str, Any]:
    snapshot = read_manifest(store, champion["snapshot_id"])
    return {
        **{name: champion[name] for name in ("snapshot_id", "model_version", "model_uri", "run_id")},
        **config.model_dump(),
        "dataset": snapshot.dataset,
        "rating_scale": snapshot.rating_scale,
        "is_invented": snapshot.is_invented,
        "checks": report,
    }


def _recommender(store: Store, champion: dict[str, Any]) -> Recommender:
    model = Recommender.from_bytes(store.get(layout.recommender(champion["model_prefix"])))
    # A champion may have learned from stars, and the newest snapshot hold counts.
    return model if has_ratings(store, champion["snapshot_id"]) else model.without_rating()


def _source_ids(store: Store, champion: dict[str, Any]) -> SourceIds:
    return SourceIds.of(read_ids(store, champion["snapshot_id"]))


def _snapshot(store: Store, champion: dict[str, Any], table: str, names: list[str] | None = None) -> pa.Table:
    return read_table(store, layout.snapshot_table(champion["snapshot_id"], table), names)


def _stored(store: Store, rows: Rows, schema: pa.Schema) -> pa.Table:
    tables = [without(read_table(store, row["key"])) for row in rows]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _column(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = table.column(name).to_numpy()
    return values
