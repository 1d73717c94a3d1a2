"""Every error this package raises on purpose, and what a scheduler should do about it.

::

    RecsysError
    ├── PermanentError        the same input fails again: fail the task at once
    │   ├── ConfigError       a setting or parameter is wrong
    │   ├── DataError         the data is wrong (archive, table, snapshot)
    │   ├── NotFoundError     a key, version or id does not exist
    │   ├── AlreadyExistsError  a create-only key is taken
    │   └── GateError         no model may be served
    │       └── RefusedError  the gate refused a model, and there is no champion to serve instead
    ├── TransientError        the network or a server failed: retry with back-off
    └── StackError            the local stack cannot start, or one of its processes died

A message names the fact, the limit, the state things are in and the next step. Messages are built by
the caller or in classmethods, never in ``__init__``: a custom ``__init__`` breaks pickling, and errors
cross process borders here.
"""

from recsys.redaction import redact


class RecsysError(Exception):
    """The root: catch this to catch everything raised on purpose. Its text shows no credentials."""

    def __str__(self) -> str:
        return redact(super().__str__())


class PermanentError(RecsysError):
    """Running the same thing again gives the same failure."""


class TransientError(RecsysError):
    """A later attempt may succeed: a time-out, a 5xx answer, a reset connection."""


class ConfigError(PermanentError):
    """A setting or a parameter is missing, malformed or out of range."""


class DataError(PermanentError):
    """An archive, a table or a snapshot breaks a stated rule."""


class NotFoundError(PermanentError):
    """A key, a version, a user or a movie that was asked for does not exist."""

    @classmethod
    def key(cls, key: str, where: str) -> "NotFoundError":
        return cls(
            f"{key}: no such object in {where}. Nothing was changed. Check the key or run the step that writes it."
        )


class AlreadyExistsError(PermanentError):
    """A create-only key is taken: somebody else published it first."""

    @classmethod
    def key(cls, key: str, where: str) -> "AlreadyExistsError":
        return cls(f"{key} exists in {where} and is immutable. The existing object was left as it is.")


class GateError(PermanentError):
    """No model may be served: the challenger lost and there is no champion to keep."""


class RefusedError(GateError):
    """The gate refused a model, and there is no champion to serve instead: a decision, and no fault."""


class StackError(RecsysError):
    """The local stack (Airflow, MLflow and their helpers) cannot start, or one of its processes died."""
