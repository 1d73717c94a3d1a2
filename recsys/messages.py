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


# Hyper-parameters of one fit, by name.
Params = dict[str, int | float | str | None]


class SplitRef(Message):
    """The two parts of a snapshot: what is trained on, and what is held out.

    Attributes:
        snapshot_id: of the snapshot; `dataset` and `fingerprint` are its own.
        training_id: of the run that asked for the split.
        train_key: of the ratings that models are fitted on, `n_train` of them.
        holdout_key: of the ratings that they are evaluated on, `n_holdout` of them.
    """

    snapshot_id: str
    dataset: str
    fingerprint: str
    training_id: str
    train_key: str
    holdout_key: str
    n_train: int
    n_holdout: int


class SearchResult(Message):
    """The best hyper-parameters that a search found.

    Attributes:
        split: whose training part was cut into folds.
        mlflow_run_id: of the training.
        params: of the best trial, by model: ``ranking`` and, where there are ratings, ``rating``.
    """

    split: SplitRef
    mlflow_run_id: str
    params: dict[str, Params]


class TrainedModel(Message):
    """A fitted recommender in the store.

    Attributes:
        search: that it comes from.
        model_prefix: the key prefix of the stored recommender.
    """

    search: SearchResult
    model_prefix: str


class EvaluationResult(Message):
    """What the gate says of a model after the evaluation on the holdout.

    Attributes:
        model: the challenger.
        is_accepted: whether it may replace the champion that it was compared with.
        reason: why, in the words of the gate.
        metrics: of the challenger on the holdout.
        opponent: address of the champion that it was compared with; None where there was none.
    """

    model: TrainedModel
    is_accepted: bool
    reason: str
    metrics: dict[str, float]
    opponent: str | None


class ModelVersion(Message):
    """A version of a registered model.

    Attributes:
        name: of the registered model, such as ``recsys-sample``.
        number: of the version, from 1.
        uri: ``models:/<name>/<number>``.
    """

    name: str
    number: int
    uri: str

    @property
    def label(self) -> str:
        """Name and number as texts show them, such as ``recsys-sample-v3``."""
        return f"{self.name}-v{self.number}"


class ChampionRef(Message):
    """The champion of a data set, and the snapshot whose users get lists.

    Attributes:
        model: the registered version.
        mlflow_run_id: of the training that made it.
        model_prefix: the key prefix of the stored recommender.
        dataset: of the model and the snapshot.
        snapshot_id: of the users and movies to score.
        training_run_id: the MLflow run of the training that ended with this champion; None where none did.
        is_promoted: whether that training promoted its own model; else the champion was kept.
        reason: why, in the words of the gate.
        announced_uri: of the model that an event announced, where another model is champion now.
    """

    model: ModelVersion
    mlflow_run_id: str
    model_prefix: str
    dataset: str
    snapshot_id: str
    training_run_id: str | None = None
    is_promoted: bool = False
    reason: str = ""
    announced_uri: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _composed(cls, document: Any) -> Any:
        """Events of earlier versions have fields of the model beside the others; see `flat`."""
        if not isinstance(document, dict) or "model_uri" not in document:
            return document
        others = dict(document)
        model = {
            "name": others.pop("model_name", None),
            "number": str(others.pop("model_version", "")).rpartition("-v")[2],
            "uri": others.pop("model_uri"),
        }
        return {"model": model, **{_EARLIER.get(name, name): value for name, value in others.items()}}

    def flat(self) -> dict[str, Any]:
        """The JSON of earlier versions, which `recsys tune` prints.

        >>> model = {"name": "recsys-sample", "number": 3, "uri": "models:/recsys-sample/3"}
        >>> ids = {"mlflow_run_id": "r", "model_prefix": "models/r", "dataset": "sample", "snapshot_id": "sample-1"}
        >>> champion = ChampionRef.read({"model": model, **ids})
        >>> champion.flat()["model_version"], ChampionRef.read(champion.flat()) == champion
        ('recsys-sample-v3', True)
        """
        model = {"model_name": self.model.name, "model_version": self.model.label, "model_uri": self.model.uri}
        earlier = {name: former for former, name in _EARLIER.items()}
        others = self.model_dump(mode="json", exclude={"model"}, exclude_none=True)
        return {**model, **{earlier.get(name, name): value for name, value in others.items()}}


# What earlier versions call fields of a `ChampionRef`.
_EARLIER = {"run_id": "mlflow_run_id", "promoted": "is_promoted", "announced_model_uri": "announced_uri"}


class WrittenTable(Message):
    """A table of a version that is not published yet.

    Attributes:
        version_id: names the version.
        files_key: of the JSON list of its files, which was written last.
        n_rows: of all files.
    """

    version_id: str
    files_key: str
    n_rows: int

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, document: Any) -> Any:
        """Tasks of earlier versions call the key ``files``."""
        if not isinstance(document, dict) or "files" not in document:
            return document
        return {"files_key" if name == "files" else name: value for name, value in document.items()}


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


class Pruned(Message):
    """What a removal of old data kept and removed.

    Attributes:
        kept: ids of the snapshots that stay.
        removed: ids of those that went.
        n_objects: objects of the store that went.
    """

    kept: tuple[str, ...]
    removed: tuple[str, ...]
    n_objects: int
