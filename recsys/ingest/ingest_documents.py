"""Documents of an ingest before its snapshot is published: the note beside an archive, and the staging manifest."""

from collections.abc import Mapping

from recsys.messages import FaultyRow
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.documents import Document
from recsys.storage.snapshots import FileAccount


class ServerIdentity(Document):
    """What a server said of an archive's identity."""

    etag: str | None = None
    last_modified: str | None = None


class ArchiveNote(Document):
    """What is known of an archive in the store.

    Attributes:
        dataset: that it is of.
        archive: its key.
        source: where it came from.
        validator: what the server there said of it.
        verified_by: what the bytes were compared with.
        not_read: files of a folder that were left there.
        at: when it was brought last (UTC).
    """

    dataset: str
    archive: str
    sha256: str
    md5: str | None = None
    size_bytes: int
    source: str
    licence: str = ""
    verified_by: str = ""
    is_invented: bool = False
    validator: ServerIdentity = ServerIdentity()
    not_read: tuple[str, ...] = ()
    at: str


def read_note(store: Store, archive_key: str) -> ArchiveNote:
    """The note beside an archive; `NotFoundError` without one."""
    return ArchiveNote.load(store, layout.archive_note(archive_key))


class StagedSource(Document):
    """What was staged: an ingest that is repeated may stage for another snapshot."""

    snapshot_id: str


class StagingManifest(Document):
    """What parsing found; written when all tables are staged. Mappings are by table.

    Attributes:
        source: what was staged; None in manifests of earlier versions.
        layout: the layout that the source was read as.
        counts: rows as ``n_<table>``, and ``n_users``.
        files: an account of every file that was read.
        n_malformed: rows that cannot be read; `malformed` holds the first of them.
        n_base: rows of the snapshot which the source is added to.
        homes: the files that the lines of a table count in.
        ids: names of the dictionaries of ids.
        not_read: files that hold nothing of the tables.
    """

    source: StagedSource | None = None
    layout: str
    counts: Mapping[str, int]
    files: tuple[FileAccount, ...]
    n_malformed: Mapping[str, int] = {}
    malformed: Mapping[str, tuple[FaultyRow, ...]] = {}
    n_base: Mapping[str, int] = {}
    homes: Mapping[str, tuple[str, ...]] = {}
    ids: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()


def read_staging(store: Store, ingest_id: str) -> StagingManifest:
    """The manifest of an ingest's staged tables; `NotFoundError` without one."""
    return StagingManifest.load(store, layout.staging_manifest(ingest_id))
