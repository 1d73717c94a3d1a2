"""A tiny release, written by hand: two users, four movies, one of them with a title that must be escaped."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.models.factors import Biases, Factors
from recsys.models.recipe import Member, Recipe
from recsys.models.recommender import RatingModel, Recommender
from recsys.scoring.source_id_columns import SourceIds
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.tables import read_table, write_table
from tests.storage.manifests import write_manifest
from tests.storage.versions import lineage, write_file

TITLES = {1: "Toy Story (1995)", 2: "<script>alert(1)</script>", 3: "Heat (1995)", 4: "Story of O, The (1975)"}
N_RATINGS = {1: 215, 2: 0, 3: 102, 4: 3}


USER_NAMES, MOVIE_NAMES = {1: "ann", 7: "0007"}, {1: "A1", 2: "a1", 3: "B/3 ü", 4: "04"}


def publish_with_source_ids(
    store: Store,
    version_id: str = "v1",
    user_names: Mapping[int, str] = USER_NAMES,
    movie_names: Mapping[int, str] = MOVIE_NAMES,
) -> None:
    """The same of a source whose ids are text."""
    _table(store, layout.snapshot_table("snap", "user_ids"), columns.ID_TABLES["user_ids"], [*user_names.items()])
    _table(store, layout.snapshot_table("snap", "movie_ids"), columns.ID_TABLES["movie_ids"], [*movie_names.items()])
    publish(store, version_id)
    ids = SourceIds.of(read_ids(store))
    for table in columns.RELEASE_TABLES:
        for row in releases.read_manifest(store, version_id).tables[table]:
            write_table(store, row.key, ids.beside(read_table(store, row.key)), overwrite=True)


def publish_twice_with_other_numbers(store: Store) -> None:
    """Two releases of a source whose ids are text: in the second, users and movies have other numbers."""
    publish_with_source_ids(store)
    publish_with_source_ids(store, "v2", {1: "0007", 7: "ann"}, {1: "a1", 2: "A1", 3: "04", 4: "B/3 ü"})


def read_ids(store: Store) -> dict[str, pa.Table]:
    return {name: read_table(store, layout.snapshot_table("snap", name)) for name in columns.ID_TABLES}


def publish(store: Store, version_id: str = "v1") -> None:
    """Publish it, with the snapshot and the reports it comes from."""
    when = datetime(2024, 5, 1, tzinfo=UTC)
    ratings = [(1, 1, 4.0, when), (1, 3, 5.0, when), (7, 4, 3.5, when)]
    _table(store, layout.snapshot_table("snap", "ratings"), columns.RATINGS, ratings)
    write_manifest(store, "snap", lineage={"ingest_id": "in-1"})
    store.put(layout.eda_report("snap"), b"<html><script>draw()</script>eda</html>", overwrite=True)
    files = {
        # Two objects, so that a reader has to choose by the ranges of ids.
        "recommendations": [
            _ranged(
                store, version_id, "recommendations", 0, [(1, 2, 2, 0.5, 3.0, "als"), (1, 1, 4, 0.75, 4.25, "als")]
            ),
            _ranged(store, version_id, "recommendations", 1, [(7, 1, 1, 215.0, 3.9, "popular")]),
        ],
        "similar_movies": [
            _ranged(store, version_id, "similar_movies", 0, [(1, 1, 3, 0.9, "als"), (1, 2, 4, 0.1, "als")])
        ],
        "movies": [
            _table(
                store,
                f"{layout.version_table(version_id, 'movies')}/part-0.parquet",
                columns.CATALOGUE,
                [(at, title, 1995, ["Drama"], None, None, N_RATINGS[at], None, 3.5) for at, title in TITLES.items()],
            )
        ],
    }
    releases.publish(store, version_id, files, lineage(dataset="sample", is_invented=True))


def store_model(store: Store) -> None:
    """The model behind it: movies 1, 3 and 4 have the factors 2, 1 and -1, user 1 has 1; stars are 3 on average."""
    users, movies = np.array([1], np.int32), np.array([1, 3, 4], np.int32)
    factors = Factors(users, np.ones((1, 1), np.float32), movies, np.array([[2], [1], [-1]], np.float32))
    biases = Biases(3.0, users, np.zeros(1, np.float32), movies, np.zeros(3, np.float32))
    recipe = Recipe(ranking=(Member(rank=1, reg_param=1.0, alpha=1.0),), rating=(Member(rank=1, reg_param=1.0),))
    counts = np.array([215, 102, 3], np.int32)
    pair = Recommender(factors, RatingModel(biases, factors, 1.0, 5.0), movies, counts, recipe)
    store.put(layout.recommender(layout.model("run")), pair.to_bytes(), overwrite=True)


def _ranged(store, version_id, table, part, rows):
    key = f"{layout.version_table(version_id, table)}/part-{part}.parquet"
    name, ids = columns.RELEASE_TABLES[table].names[0], [values[0] for values in rows]
    ends = {f"min_{name}": min(ids), f"max_{name}": max(ids)}
    return _table(store, key, columns.RELEASE_TABLES[table], rows, **ends)


def _table(store, key, schema, rows, **ends):
    arrays = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(schema)]
    return write_file(store, key, pa.Table.from_arrays(arrays, schema=schema), overwrite=True, **ends)
