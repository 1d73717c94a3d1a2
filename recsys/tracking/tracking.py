"""MLflow, and the only place that imports it: runs, reports, the model registry and its champion.

Runs are written through the client, not through MLflow's fluent calls, whose active run is global
state that concurrent trials would share. The client works on a database as well as on a server.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsys.config import Settings
from recsys.errors import AlreadyExistsError, NotFoundError, RecsysError
from recsys.tracking import shipped
from recsys.tracking.client import connect

log = logging.getLogger(__name__)

CHAMPION = "champion"
CHALLENGER = "challenger"
# Opens the experiment as a table of runs; without it the UI guesses, and shows pages for language models.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
_EXAMPLE = {"user_id": 1, "seen": [2]}
_SERVED_MODEL = Path(__file__).with_name("served_model.py")


class Tracking:
    """One connection to MLflow, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self.uri = settings.resolved_tracking_uri
        self._settings = settings
        mlflow.set_tracking_uri(self.uri)
        self._client = connect(self.uri)

    def start_run(
        self, experiment: str, name: str, *, parent: str | None = None, tags: Mapping[str, Any] | None = None
    ) -> str:
        """Create a run, nested below `parent` when given; returns its id.

        Raises:
            ConfigError: its experiment was deleted; the message says how to restore it.
        """
        all_tags = {"mlflow.runName": name, **{key: str(value) for key, value in (tags or {}).items()}}
        if parent:
            all_tags["mlflow.parentRunId"] = parent
        return str(self._client.create_run(self._experiment_id(experiment), tags=all_tags).info.run_id)

    def end_run(self, run_id: str) -> None:
        self._client.set_terminated(run_id, "FINISHED")

    def fail_run(self, run_id: str) -> None:
        """Mark a run FAILED where MLflow lets us; the error that made it fail is the one to be told of."""
        try:
            self._client.set_terminated(run_id, "FAILED")
        except RecsysError as error:
            log.warning("run %s could not be marked as failed: %s", run_id, error)

    @contextmanager
    def run(self, experiment: str, name: str, **kwargs: Any) -> Iterator[str]:
        """A run for the length of a block; marked FAILED when the block raises."""
        run_id = self.start_run(experiment, name, **kwargs)
        try:
            yield run_id
        except BaseException:
            self.fail_run(run_id)
            raise
        self.end_run(run_id)

    def log(
        self,
        run_id: str,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
        series: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Parameters, metrics and tags of a run, in one batch.

        Args:
            run_id: the run.
            params: cannot be changed later.
            metrics: one value each.
            tags: texts.
            series: metrics with a value per step, steps from 0.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        steps = {key: [value] for key, value in (metrics or {}).items()} | dict(series or {})
        self._client.log_batch(
            run_id,
            metrics=[
                Metric(key, float(v), now, step) for key, values in steps.items() for step, v in enumerate(values)
            ],
            params=[Param(key, str(value)) for key, value in (params or {}).items()],
            tags=[RunTag(key, str(value)) for key, value in (tags or {}).items()],
        )

    def log_dataset(self, run_id: str, name: str, fingerprint: str, source: str, context: str) -> None:
        """The dataset a run used, by its fingerprint; `context` is ``training``, ``validation`` or ``holdout``."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow's column for digests is 36 characters wide; the whole one is a tag.
        dataset = Dataset(name=name, digest=fingerprint[:36], source_type="local", source=source)
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])
        self._client.set_tag(run_id, "dataset_fingerprint", fingerprint)

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        self._client.log_artifact(run_id, str(path), folder)

    def describe(self, run_id: str, markdown: str) -> None:
        """The description shown at the head of a run."""
        self._client.set_tag(run_id, "mlflow.note.content", markdown)

    def log_json(self, run_id: str, document: Any, name: str) -> None:
        self._client.log_dict(run_id, document, name)

    def find_runs(
        self,
        experiment: str,
        tags: Mapping[str, str],
        *,
        status: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Runs with these tags and parameters, newest first: ``{run_id, status, started_at, params, metrics, tags}``.

        Deleted ones are not among them, nor any of an experiment that is deleted or was never made.
        """
        where = self._client.get_experiment_by_name(experiment)
        if where is None:
            return []
        conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        conditions += [f"params.`{key}` = '{value}'" for key, value in (params or {}).items()]
        if status:
            conditions.append(f"attributes.status = '{status}'")
        found: list[dict[str, Any]] = []
        token = None
        while True:
            runs = self._client.search_runs([where.experiment_id], " and ".join(conditions), page_token=token)
            found += [self._plain(run) for run in runs]
            token = runs.token
            if not token:
                return found

    def get_run(self, run_id: str) -> dict[str, Any]:
        return self._plain(self._client.get_run(run_id))

    @staticmethod
    def _plain(run: Any) -> dict[str, Any]:
        return {
            "run_id": run.info.run_id,
            "status": run.info.status,
            "started_at": datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            "params": dict(run.data.params),
            "metrics": dict(run.data.metrics),
            "tags": dict(run.data.tags),
        }

    def register(
        self,
        run_id: str,
        name: str,
        recommender: Path,
        tags: Mapping[str, Any],
        example: Mapping[str, Any] = _EXAMPLE,
    ) -> dict[str, str]:
        """Log the served model to a run and register it as a new version.

        Args:
            run_id: the training run the model belongs to.
            name: the registered model; created when new.
            recommender: the ``.npz`` of `recsys.models.recommender.Recommender`.
            tags: of the version.
            example: a row of the model's input, for whoever is to call it.

        Returns:
            ``{"version", "uri"}``, the uri as ``models:/<name>/<version>``.
        """
        import mlflow
        import pandas as pd

        self._client.update_run(run_id, "RUNNING")  # refused, with the reason, where the run was deleted
        with self._client.mapped(), mlflow.start_run(run_id=run_id), shipped.code() as package:
            info = mlflow.pyfunc.log_model(
                name="recommender",
                python_model=str(_SERVED_MODEL),
                artifacts={"recommender": str(recommender)},
                code_paths=[str(package)],
                model_config={"package": package.name},
                pip_requirements=shipped.requirements(),
                signature=shipped.signature(),
                input_example=pd.DataFrame([example]),
            )
        with suppress(AlreadyExistsError):
            self._client.create_registered_model(name)
        version = self._client.create_model_version(
            name,
            info.model_uri,
            run_id,
            tags={key: str(value) for key, value in tags.items()},
            model_id=info.model_id,
        )
        return {"version": str(version.version), "uri": f"models:/{name}/{version.version}"}

    def versions_of(self, name: str, run_id: str) -> list[dict[str, str]]:
        """Versions already registered from a run, so that a retry does not register twice."""
        found = self._client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        return [{"version": str(v.version), "uri": f"models:/{name}/{v.version}"} for v in found]

    def uris_of(self, run_id: str) -> list[str]:
        """Addresses of all versions registered from a run, under whatever name."""
        found = self._client.search_model_versions(f"run_id = '{run_id}'")
        return [f"models:/{version.name}/{version.version}" for version in found]

    def by_alias(self, name: str, alias: str) -> dict[str, Any] | None:
        """The version behind an alias, as of `version`, or None: no such model, or it has no such alias."""
        try:
            aliases = self._client.get_registered_model(name).aliases
        except NotFoundError:
            return None
        return self.version(name, aliases[alias]) if alias in aliases else None

    def version(self, name: str, number: str) -> dict[str, Any] | None:
        """A registered version as ``{version, uri, run_id, tags}``; None where there is none, or it was deleted."""
        try:
            version = self._client.get_model_version(name, number)
        except NotFoundError:
            return None
        return {
            "version": str(version.version),
            "uri": f"models:/{name}/{version.version}",
            "run_id": version.run_id,
            "tags": dict(version.tags),
        }

    def aliased_versions(self) -> list[dict[str, Any]]:
        """Every registered version that carries an alias: ``{name, version, run_id, aliases, tags}``."""
        found: dict[tuple[str, str], list[str]] = {}
        token: str | None = ""
        while token is not None:
            page = self._client.search_registered_models(page_token=token or None)
            for model in page:
                for alias, version in sorted(model.aliases.items()):
                    found.setdefault((model.name, str(version)), []).append(alias)
            token = page.token or None
        versions = {(name, number): self._client.get_model_version(name, number) for name, number in found}
        return [
            {
                "name": name,
                "version": number,
                "run_id": version.run_id,
                "aliases": found[name, number],
                "tags": dict(version.tags),
            }
            for (name, number), version in versions.items()
        ]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(name, alias, version)

    def tag_version(self, name: str, version: str, tags: Mapping[str, Any]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key, str(value)[:5000])

    def recommender_bytes(self, model_uri: str) -> bytes:
        """The ``.npz`` inside a registered version, from wherever its artifacts are kept; no copy stays here."""
        import mlflow

        with TemporaryDirectory(dir=self._settings.tmp_dir) as folder:
            try:
                with self._client.mapped():
                    mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)
            except OSError as error:  # of artifacts in a folder; a server's are a matter of the client
                raise NotFoundError(
                    f"{model_uri} is registered, but its files are gone: {error}. Nothing was changed. Move the alias "
                    "to another version in MLflow, or remove it, and run train_model."
                ) from error
            files = sorted(Path(folder).rglob("*.npz"))
            if not files:
                raise NotFoundError(
                    f"{model_uri} holds no recommender.npz: train_model did not register it. Nothing was changed. Move "
                    "the alias to another version in MLflow, or remove it, and run train_model."
                )
            return files[0].read_bytes()

    def _experiment_id(self, name: str) -> str:
        """The id of an experiment, which is made where there is none; a deleted one has its id too."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            root = self._settings.resolved_artifact_root
            location = f"{root.rstrip('/')}/{name}" if root else None
            try:
                return str(self._client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))
            except AlreadyExistsError:  # another task made it meanwhile
                found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id)


def log_report(
    settings: Settings,
    experiment: str,
    run_name: str,
    html_path: Path,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, Any],
) -> str:
    """Log one HTML report with its headline numbers as a run of its own; returns the run id."""
    tracking = Tracking(settings)
    with tracking.run(experiment, run_name, tags=tags) as run_id:
        tracking.log(run_id, params, metrics)
        tracking.log_file(run_id, html_path)
    return run_id
