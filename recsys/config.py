"""Configuration as frozen values: `Settings` say where things are, a `…Config` says what to compute.

`Settings` are read from ``RECSYS_*`` once, in the job. Configs are filled from DAG params or CLI flags
and logged whole to MLflow. Importing this module reads nothing.
"""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from recsys import redaction
from recsys.errors import ConfigError
from recsys.private_files import make_private_folder

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# Tells the DAGs from when on asset events count (ISO 8601); `make run` sets it for the stack it starts for itself.
EVENTS_SINCE = "RECSYS_EVENTS_SINCE"


class Settings(BaseSettings):
    """Where things are. Every field is an environment variable with the prefix ``RECSYS_``."""

    model_config = SettingsConfigDict(env_prefix="RECSYS_", env_ignore_empty=True, frozen=True, extra="ignore")

    state_dir: Path = Field(
        PROJECT_ROOT / ".state",
        description="The folder that holds all local state; deleting it is a full reset.",
    )
    store_url: str = Field(
        "",
        description="The object store: a directory, or s3://bucket/prefix (endpoint and keys from the AWS_* "
        "environment, as boto3 reads them). Empty: a directory below state_dir.",
    )
    mlflow_tracking_uri: str = Field("", description="MLflow tracking and registry. Empty: SQLite below state_dir.")
    mlflow_artifact_root: str = Field(
        "",
        description="Where new experiments put artifacts. Empty with an empty tracking URI: below state_dir; "
        "empty with a server: the server decides.",
    )
    mirrors: dict[str, tuple[str, ...]] = Field(
        {},
        description='Addresses to ask for a release before its publisher, as {"ml-25m": ["https://…/ml-25m.zip"]}. '
        "Frozen releases must have the published digest wherever they come from.",
    )
    spark_master: str = Field("local[*]", description="Spark master URL.")
    spark_driver_memory: str = Field(
        "", description="Heap of the Spark driver, in Spark's notation. Empty: by the data and the machine."
    )
    spark_conf: dict[str, str] = Field(
        {},
        description='Further Spark settings, as {"spark.executor.memory": "4g"}; they win over our own. On a cluster: '
        "how many executors of which size, and where they find Python (spark.pyspark.python).",
    )
    spark_checkpoint_dir: str = Field(
        "", description="Where Spark cuts lineages; must be shared storage on a cluster. Empty: below state_dir."
    )
    poster_site_url: str = Field(
        "", description="Base URL of a poster site to scrape. Empty: title cards are drawn, without any site."
    )
    tmdb_token: SecretStr | None = Field(None, description="TMDB API read token; enables posters from TMDB.")

    @field_validator("state_dir")
    @classmethod
    def _check_state_dir(cls, value: Path) -> Path:
        """Absolute, as tasks work in another folder; without what separates paths, or what Airflow would replace."""
        path = _absolute(value)
        refused = [repr(char) for char in dict.fromkeys(re.findall(r"[,:\x00-\x1f]", str(path)))]
        if os.path.expandvars(path) != str(path):
            refused.append("the name of an environment variable ($NAME)")
        if refused:
            raise ValueError(f"a path with {' and '.join(refused)} in it cannot hold the state; name another folder")
        return path

    @field_validator("store_url")
    @classmethod
    def _make_absolute(cls, value: str) -> str:
        """A directory's path; an address with a scheme, such as ``s3:``, stays as it is."""
        return str(_absolute(value)) if value and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", value) else value

    @field_validator("mirrors")
    @classmethod
    def _check_mirrors(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for address in (address for addresses in value.values() for address in addresses):
            parts = urlsplit(address)
            is_here = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
            if not parts.hostname or not (parts.scheme == "https" or is_here):
                raise ValueError(f"{address!r} is no https address, and unencrypted transfers are refused")
        return value

    @model_validator(mode="after")
    def _remember_secrets(self) -> Self:
        redaction.remember(self.secrets())
        return self

    def secrets(self) -> set[str]:
        """Every credential in these settings and in addresses of the environment, such as AWS_ENDPOINT_URL."""
        mirrors = [address for addresses in self.mirrors.values() for address in addresses]
        addresses = [
            self.store_url,
            self.mlflow_tracking_uri,
            self.mlflow_artifact_root,
            self.poster_site_url,
            *mirrors,
        ]
        found = {secret for text in (*addresses, *os.environ.values()) for secret in redaction.secrets_of(text)}
        found |= {value for name, value in self.spark_conf.items() if redaction.is_secret_name(name)}
        return found | ({self.tmdb_token.get_secret_value()} if self.tmdb_token else set())

    @property
    def resolved_store_url(self) -> str:
        return self.store_url or str(self.state_dir / "store")

    @property
    def resolved_tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or sqlite_url(self.state_dir / "mlflow" / "mlflow.db")

    @property
    def resolved_artifact_root(self) -> str | None:
        if self.mlflow_artifact_root or self.mlflow_tracking_uri:
            return self.mlflow_artifact_root or None
        return (self.state_dir / "mlflow" / "artifacts").as_uri()

    @property
    def tmp_dir(self) -> Path:
        """Scratch space inside the state folder; created on first use."""
        return make_private_folder(self.state_dir / "tmp")

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment once.

        Raises:
            ConfigError: a variable does not parse; the message names it.
        """
        try:
            return cls()
        except ValidationError as error:
            raise ConfigError(_sentence("RECSYS_ environment", error)) from error
        except SettingsError as error:
            raise ConfigError(
                f"RECSYS_ environment: {error}: {error.__cause__}. Nothing was started. Write it as JSON and run again."
            ) from error


class JobConfig(BaseModel):
    """The base of every config: frozen, and unknown names are refused."""

    # Infinity and NaN have no JSON, in which settings travel.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build from DAG params or flags.

        Raises:
            ConfigError: an unknown key or a value out of range; the message names each.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(_sentence(cls.__name__, error)) from error


NO_RATINGS = "none"  # the rating scale of what was seen or bought, but not rated


class IngestConfig(JobConfig):
    """Which data to bring in, and what must hold before it is published."""

    dataset: Annotated[str, Field(min_length=1)] = Field(
        "sample",
        description="`sample`, the name of a release, or the path of a local archive, folder, CSV or Parquet file.",
    )
    columns: dict[str, str] = Field(
        {},
        description="For files of your own: which of their columns are user_id, movie_id, rating, timestamp, title, …, "
        'as {"user_id": "uid", …} or user_id=uid,movie_id=iid,… Those that are named as usual need no entry; those of '
        "files without a header line are column1, column2, …",
    )
    rating_scale: str = Field(
        "",
        pattern=r"^(none|-?\d+(\.\d+)?-(-?\d+(\.\d+)?)/\d*\.?\d+)?$",
        description="Lowest and highest rating and the step between two, such as 1-5/1, 0-1/1 or -10-10/0.01. `none`: "
        "nobody rated; a column such as plays or quantity says how often, or each row counts as 1, and there is no "
        "rating model. Empty: the release's own, and half stars up to 5 for other data.",
    )
    times: Literal[
        "", "seconds", "milliseconds", "microseconds", "nanoseconds", "iso", "day-month-year", "month-day-year", "none"
    ] = Field(
        "",
        description="How times are written: numbers since 1970 in a unit, `iso` text, or dates with the year last. "
        "`none`: the ratings have no times. Empty: as the first rows have them.",
    )
    ids: Literal["", "number", "text"] = Field(
        "",
        description="Whether ids are 32-bit numbers or text. Empty: text where more than 5 % are no such numbers, or "
        "zeros in front tell two apart; the few others are faulty then.",
    )
    append_to: str = Field(
        "",
        description="A snapshot (or `latest`) to which these ratings are added as an increment. Empty: to none.",
    )
    sample_users: int = Field(1_000, ge=10, le=10_000_000, description="Users the sample generator invents.")
    sample_movies: int = Field(1_500, ge=50, le=1_000_000, description="Movies the sample generator invents.")
    sample_ratings: int = Field(100_000, ge=500, le=100_000_000, description="Ratings it draws, before duplicates.")
    sample_seed: int = Field(42, ge=0, description="Same seed, same sizes: the same bytes.")
    min_ratings: int = Field(100, ge=1, description="Fewer ratings than this fail the ingest.")
    max_quarantined: float = Field(
        0.01, ge=0, le=1, description="Share of a table's rows that may be faulty; they are quarantined. More fail it."
    )
    max_drift: float = Field(
        0.1,
        ge=0,
        description="How far the stars may move from those of the snapshot before (Kullback-Leibler divergence, nats).",
    )
    when_unchanged: Literal["skip", "train"] = Field(
        "skip", description="What follows when the source has not changed: nothing, or the training all the same."
    )
    keep_snapshots: int = Field(
        10, ge=1, description="Snapshots of a data set that are kept; those that a live model or table needs stay too."
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _parse_columns(cls, value: Any) -> Any:
        """``user_id=uid,movie_id=iid`` or JSON, as a terminal gives it."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            return json.loads(value)
        pairs = [item.partition("=") for item in value.split(",") if item.strip()]
        if wrong := [name for name, _, column in pairs if not (name.strip() and column.strip())]:
            raise ValueError(f"{', '.join(wrong)} is no NAME=COLUMN such as user_id=uid")
        return {name.strip(): column.strip() for name, _, column in pairs}


Preference = Literal["stars", "root", "squared", "centred", "liked", "all"]
Baseline = Literal["random", "bias_order", "svd", "svd_cosine", "pca_cosine", "item_knn", "ease"]


class TrainConfig(JobConfig):
    """How candidates are searched, judged and promoted."""

    seed: int = Field(42, ge=0, description="Seeds the split, the folds, the candidates and the fits.")
    split: Literal["random", "per_user", "per_movie", "time", "last_n"] = Field(
        "random",
        description="What is held out, and how folds are cut: `random` ratings; the same share of the ratings "
        "`per_user` or `per_movie`; by `time`, the latest of all, as a service meets its future; `last_n`, the latest "
        "of each user.",
    )
    holdout_fraction: float = Field(
        0.2, gt=0, lt=0.9, description="Share of ratings kept from all training; for all splits but `last_n`."
    )
    n_last: int = Field(1, ge=1, le=1000, description="Ratings of each user kept from all training; for `last_n`.")
    n_folds: int = Field(5, ge=2, le=20, description="Folds of the cross-validation.")
    ranking_trials: int = Field(24, ge=1, le=1000, description="Candidates tried for the ranking model.")
    rating_trials: int = Field(
        8, ge=1, le=1000, description="Candidates tried for the rating model; where nobody rated, there is none."
    )
    search_minutes: float = Field(
        0.0,
        ge=0,
        le=100_000,
        description="Minutes for both searches together, shared by their trials; 0: no limit. Each model's first, "
        "known-good candidate is always tried, and what runs when time is up is finished.",
    )
    strategy: Literal["grid", "random", "bayesian", "halving"] = Field(
        "random",
        description="`grid` tries every point of the largest even grid of at most so many candidates; `random` spreads "
        "them over the space; `bayesian` learns from each where to look next and gives up poor ones early; `halving` "
        "looks at all with few iterations and doubles them for the better half; it pays with max_iter 10 and more.",
    )
    preferences: tuple[Preference, ...] = Field(
        ("stars", "squared", "liked", "centred", "all"),
        min_length=1,
        description="What a rating may say to the ranking model; the search decides: its `stars`, their square "
        "`root`, the stars `squared`, stars above or below the user's mean (`centred`), `liked` or not, or `all` "
        "ratings alike. Where nobody rated, counts take the place of stars; `centred` and `liked` say nothing of them.",
    )
    n_members: int = Field(
        3,
        ge=1,
        le=16,
        description="Fits that each of the two models is made of at most, chosen from the search's best by what they "
        "bring on a fold; 1: the best candidate alone.",
    )
    baselines: tuple[Baseline, ...] = Field(
        ("random", "bias_order", "svd", "svd_cosine", "pca_cosine", "item_knn", "ease"),
        description="Models judged beside ours on the holdout, besides popularity and averages. What is too large for "
        "the data is left out, and said so.",
    )
    search_engine: Literal["compiled", "mllib"] = Field(
        "compiled",
        description="What fits candidates: `compiled` code with MLlib's objective and a fraction of its cost, one fit "
        "a core, here or on Spark's cluster; or `mllib`, for data too large for a copy per core. What is chosen is "
        "always fitted by MLlib.",
    )
    k: int = Field(10, ge=1, le=1000, description="List length at which ranking metrics are taken.")
    relevant_rating: float = Field(
        0.0,
        ge=-1000,
        le=1000,
        description="The rating from which a held-out movie counts as a good recommendation; 0: three quarters of the "
        "way up the scale, 4 of 5 stars, and every held-out movie where nobody rated.",
    )
    max_iter: int = Field(10, ge=1, le=200, description="ALS iterations of a full fit.")
    min_iter: int = Field(
        0,
        ge=0,
        le=200,
        description="Iterations are searched from this to max_iter; 0: all fits take max_iter. For `halving`: those of "
        "the first rung, at least 3.",
    )
    max_rank: int = Field(32, ge=2, le=512, description="Largest number of factors tried.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the paired bootstrap in the gate.")
    min_gain: float = Field(0.0, ge=-1, le=1, description="nDCG@k the challenger must gain at that confidence.")
    max_rmse_loss: float = Field(0.02, ge=0, le=1, description="Relative rise of RMSE the gate tolerates.")

    @property
    def has_rating_model(self) -> bool:
        """Whether there are ratings to predict; for counts the training sets `rating_trials` to 0."""
        return self.rating_trials > 0

    @field_validator("preferences", "baselines", mode="before")
    @classmethod
    def _parse_names(cls, value: Any) -> Any:
        """``svd,ease`` or JSON, as a terminal gives it."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("preferences", "baselines")
    @classmethod
    def _drop_repeated(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _order_iterations(self) -> Self:
        if self.min_iter > self.max_iter:
            raise ValueError(f"min_iter {self.min_iter} is above max_iter {self.max_iter}")
        return self


class ScoreConfig(JobConfig):
    """What the lists look like."""

    k: int = Field(10, ge=1, le=1000, description="Movies per user list.")
    n_similar: int = Field(10, ge=1, le=1000, description="Neighbours per movie.")
    similarity: Literal["cosine", "euclidean"] = Field(
        "cosine",
        description="What makes movies alike: factors that point the same way (`cosine`), or are close (`euclidean`), "
        "which also asks for like popularity.",
    )
    min_support: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="Training ratings a movie needs to be a neighbour by its factors; those with fewer still have "
        "neighbours, and fill up lists by their genres.",
    )


class PosterConfig(JobConfig):
    """Which posters to fetch, and how politely."""

    max_posters: int = Field(1_000, ge=0, le=1_000_000, description="Most recommended movies first; 0 fetches none.")
    batch_size: int = Field(250, ge=1, le=10_000, description="Posters per mapped task.")
    concurrency: int = Field(4, ge=1, le=32, description="Requests under way at once within a task.")
    timeout_s: float = Field(10.0, gt=0, le=300, description="Per request, in seconds.")


# The DAGs in the order data flows, each with what it computes from.
CHAIN: dict[str, type[JobConfig]] = {
    "ingest_ratings": IngestConfig,
    "train_model": TrainConfig,
    "score_users": ScoreConfig,
    "fetch_posters": PosterConfig,
}


def parse_chain(first: str, values: dict[str, Any]) -> dict[str, Any]:
    """Configs of a DAG and of those after it, by DAG, from settings that may name fields of any of them.

    A name that several configs know, such as `k`, reaches each of them.

    Raises:
        ConfigError: a name none of them knows, or a value out of range.

    >>> parse_chain("score_users", {"k": 20, "max_posters": 5})["score_users"]
    ScoreConfig(k=20, n_similar=10, similarity='cosine', min_support=10)
    """
    names = list(CHAIN)
    configs = {name: CHAIN[name] for name in names[names.index(first) :]}
    known = {field for config in configs.values() for field in config.model_fields}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{first} knows no setting {', '.join(unknown)}. Nothing was started. "
            f"Correct the name and run again; the settings are {', '.join(sorted(known))}."
        )
    return {
        name: config.parse({field: values[field] for field in config.model_fields if field in values})
        for name, config in configs.items()
    }


def sqlite_url(database: Path) -> str:
    """The address of a SQLite database, for SQLAlchemy: it decodes percent signs, and parameters begin at a ``?``.

    >>> sqlite_url(Path("/new ü/50%?/mlflow.db"))
    'sqlite:////new ü/50%25%3F/mlflow.db'
    """
    return f"sqlite:///{str(database).replace('%', '%25').replace('?', '%3F')}"


def form_values(first: str, values: dict[str, Any]) -> dict[str, Any]:
    """Settings as the trigger form of a DAG takes them, from values or from texts as a terminal gives them.

    Raises:
        ConfigError: as `parse_chain`.

    >>> form_values("ingest_ratings", {"columns": "user_id=uid", "baselines": "svd", "k": "20"})
    {'columns': {'user_id': 'uid'}, 'baselines': ['svd'], 'k': 20}
    """
    documents = [config.model_dump(mode="json") for config in parse_chain(first, values).values()]
    return {name: next(document[name] for document in documents if name in document) for name in values}


def environment_dataset() -> str:
    """The dataset named by ``DATASET``, as `make run` passes it; `sample` when unset."""
    return os.environ.get("DATASET", "").strip() or "sample"


def _absolute(path: str | Path) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  Path.expanduser fails where there is no such user


def _sentence(what: str, error: ValidationError) -> str:
    faults = "; ".join(
        f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']} (got {e['input']!r})" for e in error.errors()
    )
    return f"{what}: {faults}. Nothing was started. Correct the value and run again."
