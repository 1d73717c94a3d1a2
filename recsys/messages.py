"""What tasks give each other: the values that Airflow's XComs and asset events carry as JSON.

Each class is one thing. A task that needs two things takes two, or a value that holds both; no value is a copy of
another with fields added. A field means the same everywhere:

* ``snapshot_id``: a published snapshot; ``version_id``: a version of the published tables;
* ``mlflow_run_id``: the MLflow run of a training; ``training_id``: the Airflow or terminal run that began it;
* ``…_key``: a key in the store; ``…_uri``: an address that other tools understand.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from recsys.errors import ConfigError


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
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['msg']}" for e in error.errors()[:5])
            raise ConfigError(
                f"What was handed over is no {cls.__name__}: {faults}. Nothing was started. Clear the task that wrote "
                "it, or trigger the DAG anew."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `read` understands."""
        return self.model_dump(mode="json")


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
