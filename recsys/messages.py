"""What tasks give each other: the values that Airflow's XComs and asset events carry as JSON.

Each class is one thing. A task that needs two things takes two, or a value that holds both; no value is a copy of
another with fields added. A field means the same everywhere:

* ``snapshot_id``: a published snapshot; ``version_id``: a version of the published tables;
* ``mlflow_run_id``: the MLflow run of a training; ``training_id``: the Airflow or terminal run that began it;
* ``…_key``: a key in the store; ``…_uri``: an address that other tools understand.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator

from recsys.errors import ConfigError


def faults_of(error: ValidationError) -> str:
    """The first faults of a document, each with the field it is in."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['msg']}" for e in error.errors()[:5])


class Message(BaseModel):
    """A frozen value with known fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, document: Any) -> Self:
        """A message from its JSON, as a task or an asset event of this or an earlier version wrote it.

        Raises:
            ConfigError: a field is missing or of another type.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigError(
                f"What was handed over is no {cls.__name__}: {faults_of(error)}. Nothing was started. Clear the task "
                "that wrote it, or trigger the DAG anew."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `read` understands."""
        return self.model_dump(mode="json")


class Reading(Message):
    """How a source is read, as far as its files do not say it. It decides the snapshot's id.

    Attributes:
        columns: the file's column for each meaning; those with usual names need no entry.
        rating_scale: that was asked for; empty: the usual one.
        ratings_file: the file name of the ratings, where there are several.
        base_snapshot_id: of the snapshot that the source is added to; None where it is taken in by itself.
        times: how times are written; empty: as the first rows have them.
        ids: ``text`` or ``number``; empty: as the ids are.
        counts: ``summed`` where rows of a user and a movie are summed; empty where there are ratings.
    """

    columns: Mapping[str, str] = {}
    rating_scale: str = ""
    ratings_file: str | None = None
    base_snapshot_id: str | None = None
    times: str = ""
    ids: str = ""
    counts: Literal["", "summed"] = ""

    @model_serializer
    def recipe(self) -> dict[str, Any]:
        """The part of the id's recipe: fields that were added later are left out while they are empty.

        >>> Reading(times="iso").recipe()
        {'columns': {}, 'rating_scale': '', 'ratings_file': None, 'base_snapshot_id': None, 'times': 'iso'}
        """
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in fields.items() if value or name not in _ADDED_LATER}


_ADDED_LATER = {"times", "ids", "counts"}


class SourceArchive(Message):
    """An archive in the store, and the snapshot that it will become.

    Attributes:
        ingest_id: names what this ingest writes.
        dataset: whose snapshot it becomes.
        archive_key: of the archive.
        sha256: of its bytes; `size_bytes` is their number.
        source: the address, path or generator that it came from.
        verified_by: what the bytes were compared with.
        release: the known release that it is; None where it is none.
        is_invented: whether the generator made it, or what it is added to.
        contains: sha256 of all sources that will be in the snapshot.
        not_read: files of a folder that were left there.
        rating_scale: of the snapshot; never empty.
        snapshot_id: of the snapshot that it becomes.
        previous_snapshot_id: of the one to compare with; None where there is none.
    """

    ingest_id: str
    dataset: str
    archive_key: str
    sha256: str
    size_bytes: int
    source: str
    licence: str
    verified_by: str = ""
    release: str | None = None
    is_invented: bool = False
    contains: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()
    reading: Reading
    rating_scale: str
    snapshot_id: str
    previous_snapshot_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, document: Any) -> Any:
        """Tasks of earlier versions call the key ``archive``."""
        if not isinstance(document, dict) or "archive" not in document:
            return document
        return {"archive_key" if name == "archive" else name: value for name, value in document.items()}


class FaultyRow(Message):
    """A row that is kept out of a table.

    Attributes:
        line: in the file; negative in a table of a snapshot.
        reason: one word for counting; `fault` is a sentence.
        file: of the source; empty where it is not known.
        content: the row's text, or its beginning; empty where it is not known.
    """

    line: int
    reason: str
    fault: str
    file: str = ""
    content: str = ""


class StagedTables(Message):
    """The tables of an archive, parsed and not yet trusted; each mapping is by table.

    Attributes:
        archive: that was parsed.
        n_rows: staged rows.
        n_malformed: rows that cannot be read; `malformed` holds the first of them.
        n_base: staged rows that are of the snapshot which the source is added to.
        source_files: the files that the lines of a table count in.
        not_read: files that hold nothing of the tables.
    """

    archive: SourceArchive
    n_rows: Mapping[str, int] = {}
    n_malformed: Mapping[str, int] = {}
    malformed: Mapping[str, tuple[FaultyRow, ...]] = {}
    n_base: Mapping[str, int] = {}
    source_files: Mapping[str, tuple[str, ...]] = {}
    not_read: tuple[str, ...] = ()


class ValidationResult(Message):
    """The checks that staged tables passed.

    Attributes:
        report_uri: of the report; `data_docs_uri` of Great Expectations' own pages.
        n_expectations: rules that were checked.
        n_quarantined: staged rows that were taken out; `quarantined` is the same by reason.
    """

    report_uri: str
    data_docs_uri: str
    n_expectations: int
    n_quarantined: int
    quarantined: Mapping[str, int]


class SnapshotRef(Message):
    """A published snapshot.

    Attributes:
        uri: of its manifest.
        n_users: users who rated.
        n_quarantined: rows of the source that are not in it.
        sha256: of its source.
        fingerprint: of its tables.
    """

    snapshot_id: str
    uri: str = ""
    dataset: str
    is_invented: bool = False
    n_ratings: int = 0
    n_users: int = 0
    n_movies: int = 0
    n_quarantined: int = 0
    sha256: str = ""
    licence: str = ""
    fingerprint: str = ""


class UnchangedSource(Message):
    """A source with nothing new: a sentence that says so, and the snapshot that holds its rows."""

    message: str
    snapshot: SnapshotRef


class EdaReportRef(Message):
    """The report on a snapshot's data: its address, and the MLflow run that holds it too."""

    snapshot_id: str
    report_uri: str
    mlflow_run_id: str


class PublishedTables(Message):
    """A published version of the tables.

    Attributes:
        version_id: names the version.
        number: of its release in the log; None where an earlier event does not say.
        dataset: whose users and movies.
        uri: the version's folder.
        n_users: users with a list.
        n_movies: movies with similar ones.
    """

    version_id: str
    number: int | None = None
    dataset: str = ""
    uri: str = ""
    n_users: int = 0
    n_movies: int = 0

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, document: Any) -> Any:
        """Events of earlier versions call the number ``release`` and the address ``path``."""
        if not isinstance(document, dict) or not document.keys() & {"release", "path"}:
            return document
        names = {"release": "number", "path": "uri"}
        return {names.get(name, name): value for name, value in document.items()}


class PosterPlan(Message):
    """The posters to fetch for a published version.

    Attributes:
        tables: the version.
        source: where posters come from.
        n_wanted: movies on the lists, as many as were asked for.
        n_reused: those of them whose poster is in the store.
        n_superseded: movies left out because their id stands for another movie in the current release.
        batches: movie ids to fetch.
    """

    tables: PublishedTables
    source: str
    n_wanted: int
    n_reused: int
    n_superseded: int
    batches: tuple[tuple[int, ...], ...] = ()


class PosterManifestRef(Message):
    """The manifest that was written, and what became of the posters asked for.

    Attributes:
        uri: of the manifest.
        version_id: of the published tables whose movies were asked for.
        n_stored: posters fetched or drawn now; `n_drawn` of them are placeholders.
        n_failed: could not be fetched.
        n_missing: the source has none, and an older one stays.
        n_reused: were in the store already.
        n_known: posters in the store, of all movies.
    """

    uri: str
    version_id: str
    n_stored: int
    n_drawn: int
    n_failed: int
    n_missing: int
    n_reused: int
    n_known: int
