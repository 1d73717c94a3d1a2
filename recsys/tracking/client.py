"""MLflow's client, whose errors are this package's: what passes is retried, what somebody changed there is named.

::

    away, busy, locked, 5xx, a time-out           TransientError
    no such run, model, version or experiment     NotFoundError
    a name that is taken                          AlreadyExistsError
    an experiment or a run that was deleted       ConfigError, with its name and how to restore it
    anything else that MLflow refuses             ConfigError, with MLflow's own words
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, RecsysError, TransientError
from recsys.private_files import make_private_file, make_private_folder
from recsys.redaction import redacted

_PASSING = frozenset(
    {
        "TEMPORARILY_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "CANCELLED",
    }
)
_MISSING = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND"})
_TAKEN = frozenset({"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"})
_DENIED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
# SQLite tells what waiting does not mend by the same kind of error as a lock.
_LASTING = ("readonly database", "no such table", "no such column", "disk is full", "not a database")
_DELETED = re.compile(r"The (experiment|run) (\S+) must be in the 'active' state")


def connect(uri: str) -> "Client":
    """A client of a server or a database, whose tables are made where there are none."""
    if not uri.startswith("sqlite:///"):
        return Client(uri)
    database = Path(unquote(uri.removeprefix("sqlite:///")))
    # Else MLflow notes the working folder for its first experiment, in a statement that an apostrophe in it breaks.
    os.environ.setdefault("_MLFLOW_SERVER_ARTIFACT_ROOT", (database.absolute().parent / "artifacts").as_uri())
    with _alone_with(database):
        client = Client(uri)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _alone_with(database: Path) -> Iterator[None]:
    """Nobody else opens the database meanwhile: two that make its tables at once trip over each other."""
    make_private_folder(database.parent)
    make_private_file(database)
    with database.with_name(f"{database.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Client:
    """Every method of `mlflow.MlflowClient`, with this package's errors.

    Args:
        uri: of the tracking server or the database.
    """

    def __init__(self, uri: str) -> None:
        import mlflow

        self.uri = uri
        with self.mapped():
            self._client = mlflow.MlflowClient(uri)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        @wraps(call)
        def with_our_errors(*args: Any, **kwargs: Any) -> Any:
            with self.mapped():
                return call(*args, **kwargs)

        return with_our_errors

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """For what MLflow offers beside its client: the errors of a block, as those of the methods."""
        from botocore.exceptions import ConnectionError as S3ConnectionError
        from botocore.exceptions import HTTPClientError
        from mlflow import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import OperationalError

        try:
            yield
        except MlflowException as error:
            raise self._mapped(error.error_code, str(error.message)) from redacted(error)
        except (OperationalError, RequestException, S3ConnectionError, HTTPClientError) as error:
            raise self._mapped("TEMPORARILY_UNAVAILABLE", str(error)) from redacted(error)

    def _mapped(self, code: str, message: str) -> RecsysError:
        reason = f"{(message or code).splitlines()[0].rstrip('. ')}."
        # A server says INTERNAL_ERROR for its own faults, and the client where no answer came.
        is_remote_fault = code == "INTERNAL_ERROR" and self.uri.startswith("http")
        if is_remote_fault or (code in _PASSING and not any(words in message for words in _LASTING)):
            return TransientError(
                f"MLflow at {self.uri} does not answer, or is busy: {reason} What was logged stands. Try again; a task "
                "of Airflow does so by itself."
            )
        if deleted := _DELETED.search(message):
            return self.deleted(*deleted.groups())
        if code in _MISSING:
            return NotFoundError(
                f"MLflow at {self.uri}: {reason} Nothing was changed. If somebody deleted or renamed it there, undo "
                "that, or clear the task that makes it."
            )
        if code in _TAKEN:
            return AlreadyExistsError(f"MLflow at {self.uri}: {reason} What is there was left as it is.")
        if code in _DENIED:
            return ConfigError(
                f"MLflow at {self.uri} refused the request: {reason} Nothing was changed. Check what "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, allow."
            )
        return ConfigError(f"MLflow at {self.uri} refused the request ({code}): {reason} Nothing was changed.")

    def deleted(self, kind: str, key: str) -> ConfigError:
        """What to do about an experiment or a run that somebody deleted and that is still in MLflow's bin."""
        if kind == "run":
            run = self.get_run(key)
            experiment = self.get_experiment(run.info.experiment_id)
            if experiment.lifecycle_stage == "active":
                return ConfigError(
                    f"The run {run.info.run_name} ({key}) was deleted in MLflow at {self.uri}, and nothing can be "
                    f"logged to it. Restore it there, or by `mlflow runs restore --run-id {key}`, and clear the failed "
                    "task; or start the training anew."
                )
            key = str(run.info.experiment_id)
        experiment = self.get_experiment(key)
        return ConfigError(
            f"The experiment {experiment.name} (id {key}) was deleted in MLflow at {self.uri}, and nothing can be "
            f"logged to it. Restore it by `mlflow experiments restore --experiment-id {key}` (MLFLOW_TRACKING_URI says "
            f"where), or remove it with all its runs for good by `mlflow gc --experiment-ids {key}`. Then clear the "
            "failed task, or run again."
        )
