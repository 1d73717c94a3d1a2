"""Parts of published versions that a test does not care about."""

from typing import Any

import pyarrow as pa

from recsys.storage.base import Store
from recsys.storage.releases import FileRow, Lineage
from recsys.storage.tables import write_table


def lineage(**given: Any) -> Lineage:
    """What a version was made of."""
    model = {"model_version": "recsys-sample-v1", "model_uri": "models:/recsys-sample/1"}
    others = {"snapshot_id": "snap", "run_id": "run", "k": 10, "n_similar": 10, "checks": {}}
    return Lineage(**{**others, **model, **given})


def write_file(store: Store, key: str, table: pa.Table, *, overwrite: bool = False, **ids: int) -> FileRow:
    """Write one Parquet object; `ids` are the smallest and the largest id in it."""
    return FileRow(**write_table(store, key, table, overwrite=overwrite), **ids)
