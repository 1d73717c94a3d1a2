"""Which snapshot an archive becomes: its data set, how it is read, its id, and the snapshot that it follows."""

import hashlib
import json

from recsys.config import NO_RATINGS, IngestConfig
from recsys.errors import ConfigError
from recsys.ingest.formats import known_releases
from recsys.ingest.formats.reading import PARSER_VERSION
from recsys.ingest.ingest_documents import ArchiveNote
from recsys.messages import Reading, SourceArchive
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.snapshots import SnapshotManifest


def reading_of(config: IngestConfig, release: known_releases.Release | None = None) -> Reading:
    """How a source that is taken in by itself is read.

    Until counts were summed, snapshots of the same sources held other tables: so `counts` is part of their ids.
    """
    return Reading(
        columns=config.columns,
        rating_scale=config.rating_scale,
        ratings_file=release.ratings_file if release else None,
        times=config.times,
        ids=config.ids,
        counts="summed" if config.rating_scale == NO_RATINGS else "",
    )


def source_archive(
    store: Store, note: ArchiveNote, config: IngestConfig, ingest_id: str, base: SnapshotManifest | None
) -> SourceArchive:
    """An archive, and the snapshot that it becomes.

    Args:
        store: where the snapshots are.
        note: of the archive.
        config: says how it is read.
        ingest_id: of the ingest.
        base: the snapshot that it is added to; None where it is taken in by itself.
    """
    release = known_releases.RELEASES.get(note.dataset)
    archive = SourceArchive(
        ingest_id=layout.safe_id(ingest_id),
        dataset=note.dataset,
        archive_key=note.archive,
        sha256=note.sha256,
        size_bytes=note.size_bytes,
        source=note.source,
        licence=note.licence or known_releases.licence_of(note.dataset),  # notes of earlier versions have none
        verified_by=note.verified_by,
        release=release.name if release else None,
        is_invented=note.is_invented,
        contains=(note.sha256,),
        not_read=note.not_read,
        reading=reading_of(config, release),
        rating_scale=config.rating_scale or _usual_scale(release),
        snapshot_id="",
    )
    if base:
        archive = _added_to(base, archive)
    snapshot_id = snapshot_name(archive.dataset, archive.sha256, archive.reading)
    previous_id = _previous(store, archive, snapshot_id)
    return archive.model_copy(update={"snapshot_id": snapshot_id, "previous_snapshot_id": previous_id})


def snapshot_name(dataset: str, sha256: str, reading: Reading, parser_version: str = PARSER_VERSION) -> str:
    """A snapshot's id: the data set, and twelve digits that change with its bytes, the parser or the way of reading.

    >>> snapshot_name("ml-25m", "ab" * 32, Reading(), "1") == snapshot_name("ml-25m", "ab" * 32, Reading(), "2")
    False
    """
    recipe = json.dumps({"sha256": sha256, "parser": parser_version, **reading.recipe()}, sort_keys=True)
    return f"{layout.safe_id(dataset)}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def with_scale_of(base: SnapshotManifest, config: IngestConfig) -> IngestConfig:
    """The config of an increment; to counts only counts are added, to ratings only ratings.

    Raises:
        ConfigError: it says otherwise.
    """
    has_counts, scale = not base.has_ratings, config.rating_scale
    if scale and has_counts != (scale == NO_RATINGS):
        holds = "counts (rating_scale=none)" if has_counts else "ratings"
        raise ConfigError(
            f"snapshot {base.snapshot_id} holds {holds}, and rating_scale={scale} was given: counts and ratings "
            "cannot be in one snapshot. Nothing was started. Leave rating_scale out, or take the file in by itself."
        )
    return config.model_copy(update={"rating_scale": NO_RATINGS}) if has_counts else config


def _usual_scale(release: known_releases.Release | None) -> str:
    low, high, step = release.rating_range if release else known_releases.HALF_STARS
    return f"{low:g}-{high:g}/{step:g}"


def _added_to(base: SnapshotManifest, archive: SourceArchive) -> SourceArchive:
    """The archive with what an increment takes over from the snapshot it is added to."""
    lineage = base.lineage
    scale = archive.reading.rating_scale or lineage.reading.rating_scale
    reading = archive.reading.model_copy(update={"rating_scale": scale, "base_snapshot_id": base.snapshot_id})
    taken_over = {
        "dataset": base.dataset,
        "is_invented": base.is_invented or archive.is_invented,
        "licence": " And: ".join(dict.fromkeys((lineage.licence, archive.licence))),
        "release": None,  # the counts of the release no longer hold
        "rating_scale": scale or base.rating_scale or archive.rating_scale,
        "contains": (*(lineage.contains or (lineage.sha256,)), archive.sha256),
        "reading": reading,
    }
    return archive.model_copy(update=taken_over)


def _previous(store: Store, archive: SourceArchive, snapshot_id: str) -> str | None:
    """The snapshot to compare with: what an increment is added to, else the newest other one of the data set.

    Samples of other sizes are other data sets under one name, so the sample is compared with none.
    """
    if base_id := archive.reading.base_snapshot_id:
        return base_id
    if archive.dataset == known_releases.SAMPLE:
        return None
    others = (manifest for manifest in snapshots.manifests(store) if manifest.snapshot_id != snapshot_id)
    previous = snapshots.newest(others, archive.dataset)
    return previous.snapshot_id if previous else None
