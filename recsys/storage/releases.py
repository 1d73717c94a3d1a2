"""Atomic publication of the served tables: readers see one whole version, the old one or the new one.

A version's files are written under new keys, its manifest is created once all of them are there, and
the release log decides what is current: release *n* is the create-only object ``_releases/n``. The
pointer ``current.json`` is a copy of the last release, for readers who want one small file. Rolling back
appends a release that names an older version; nothing is ever overwritten or deleted in place.

A publisher that is killed between release and pointer leaves the pointer on the release before: a whole version
still. `repair` sets it right; `publish`, `rollback` and the first task of every DAG call it.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any

from recsys.errors import AlreadyExistsError, DataError, NotFoundError
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.tables import read_json, write_json


def publish(
    store: Store, version_id: str, files: dict[str, list[dict[str, Any]]], lineage: dict[str, Any]
) -> dict[str, Any]:
    """Make a written version the current one.

    Args:
        store: where the version was written.
        version_id: the version whose files stand under ``tables/version=<version_id>/``.
        files: table name to its manifest rows, as `write_table` returns them.
        lineage: what made it (model, snapshot, run, code, config); stored in the manifest.

    Returns:
        The release: ``{number, version_id, path, published_at, tables}``.

    Raises:
        DataError: a file of the manifest is missing or has another size; nothing was published.

    A version that was released before is not released again, whatever is current now: its first release is returned.
    """
    _check_files(store, version_id, files)
    manifest = {"version_id": version_id, "created_at": _now(), "tables": files, "lineage": lineage}
    try:
        write_json(store, f"{layout.version(version_id)}/{layout.MANIFEST}", manifest)
    except AlreadyExistsError:
        # A retry of the same publication: the first attempt's manifest stands.
        manifest = read_manifest(store, version_id)
    return _append(store, manifest, "publish", done_among=slice(None))


def rollback(store: Store, version_id: str) -> dict[str, Any]:
    """Append a release that makes an older version current again; if it is current, nothing is appended.

    Raises:
        NotFoundError: that version was never published, or has been collected.
        DataError: a file of it is missing or has another size; the current release stands.
    """
    manifest = read_manifest(store, version_id)
    _check_files(store, version_id, manifest["tables"])
    return _append(store, manifest, "rollback", done_among=slice(-1, None))


def repair(store: Store) -> None:
    """Make the pointer name the release that the log says is current; nothing is written where it does.

    Two that write the pointer at once may do so in either order, so each looks again after it wrote: whoever wrote
    last goes on until pointer and log agree.
    """
    while keys := list(store.list(f"{layout.RELEASES}/")):
        last = store.get(keys[-1])
        with contextlib.suppress(NotFoundError):
            if store.get(layout.CURRENT) == last:
                return
        store.put(layout.CURRENT, last, overwrite=True)


def find(store: Store, version_id: str) -> dict[str, Any] | None:
    """The first release of a version; None where there is none."""
    return _first_of(history(store), version_id)


def current(store: Store) -> dict[str, Any]:
    """The current release, by the log.

    Raises:
        NotFoundError: nothing has been published yet.
    """
    keys = list(store.list(f"{layout.RELEASES}/"))
    if not keys:
        raise NotFoundError(f"{store.url} holds no published tables yet. Run `make run`, or `recsys run`.")
    return dict(read_json(store, keys[-1]))


def history(store: Store) -> list[dict[str, Any]]:
    """All releases, oldest first."""
    return [read_json(store, key) for key in store.list(f"{layout.RELEASES}/")]


def latest(store: Store, n: int) -> list[dict[str, Any]]:
    """The last n releases, oldest first; fewer where there are fewer."""
    return [read_json(store, key) for key in list(store.list(f"{layout.RELEASES}/"))[-n:]]


def read_manifest(store: Store, version_id: str) -> dict[str, Any]:
    """A version's manifest: ``{version_id, created_at, tables, lineage}``; `NotFoundError` without one."""
    return dict(read_json(store, f"{layout.version(version_id)}/{layout.MANIFEST}"))


def table_keys(store: Store, table: str, version_id: str | None = None) -> list[str]:
    """The Parquet objects of a published table, in a version or in the current release."""
    version_id = version_id or current(store)["version_id"]
    return [row["key"] for row in read_manifest(store, version_id)["tables"][table]]


def _check_files(store: Store, version_id: str, files: dict[str, list[dict[str, Any]]]) -> None:
    for row in (row for rows in files.values() for row in rows):
        if not store.exists(row["key"]) or store.size_bytes(row["key"]) != row["size_bytes"]:
            raise DataError(
                f"version {version_id}: {row['key']} is missing or not {row['size_bytes']:,} bytes long. "
                "The current release was left as it is. Run the scoring again, or choose another version."
            )


def _append(store: Store, manifest: dict[str, Any], reason: str, done_among: slice) -> dict[str, Any]:
    """Append a release of a version, unless one of those in question names it; the pointer follows either way."""
    version_id = manifest["version_id"]
    while True:
        releases = history(store)
        if release := _first_of(releases[done_among], version_id):
            break
        release = {
            "number": releases[-1]["number"] + 1 if releases else 1,
            "version_id": version_id,
            "path": f"version={version_id}",
            "published_at": _now(),
            "reason": reason,
            "tables": {name: f"version={version_id}/{name}" for name in manifest["tables"]},
        }
        # Another publisher may take this number first: then look again and append after it.
        with contextlib.suppress(AlreadyExistsError):
            write_json(store, layout.release(release["number"]), release)
            break
    repair(store)
    return dict(release)


def _first_of(releases: list[dict[str, Any]], version_id: str) -> dict[str, Any] | None:
    return next((release for release in releases if release["version_id"] == version_id), None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
