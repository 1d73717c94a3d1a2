"""The documents of a training in the store: split, trials, search, evaluation, repeated comparisons."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_serializer, model_validator

from recsys.messages import Message, Params
from recsys.search.cross_validation import Outcome
from recsys.search.trial import Stage, Trial
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.documents import Document
from recsys.training.gate import Check

Metrics = dict[str, float]
# Mean, low and high end of its interval.
Interval = tuple[float, float, float]


class StoredPart(Message):
    """A table of a split, as `recsys.storage.tables.write_table` describes it."""

    key: str
    n_rows: int
    size_bytes: int
    sha256: str


class SplitParts(Message):
    """Both tables of a split."""

    train: StoredPart
    holdout: StoredPart


class SplitManifest(Document):
    """A snapshot's split; written last."""

    snapshot_id: str
    parts: SplitParts


class TrialRecord(Document):
    """A trial that was finished; fields as of `Trial`, whose hyper-parameters are the `point`."""

    number: int
    point: Params
    fold_metrics: tuple[Metrics, ...]
    seconds: float
    stage: Stage = "full"

    @classmethod
    def of_trial(cls, trial: Trial) -> Self:
        folds = tuple(trial.fold_metrics)
        return cls(
            number=trial.number, point=trial.params, fold_metrics=folds, seconds=trial.seconds, stage=trial.stage
        )

    def trial(self) -> Trial:
        return Trial(self.number, dict(self.point), list(self.fold_metrics), self.seconds, self.stage)


class OutcomeRecord(Message):
    """How a search ended; fields as of `Outcome`."""

    trials: tuple[TrialRecord, ...]
    n_planned: int
    is_out_of_time: bool

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Self:
        trials = tuple(map(TrialRecord.of_trial, outcome.trials))
        return cls(trials=trials, n_planned=outcome.n_planned, is_out_of_time=outcome.is_out_of_time)

    def outcome(self) -> Outcome:
        return Outcome([each.trial() for each in self.trials], self.n_planned, self.is_out_of_time)


class ModelSearchRecord(Message):
    """The search of one model, and the learning curve of its choice: a metric by number of iterations."""

    outcome: OutcomeRecord
    curve: dict[int, float]


class SearchRecord(Document):
    """The searches of a training; no rating model where there are no ratings."""

    ranking: ModelSearchRecord
    rating: ModelSearchRecord | None = None

    def of_model(self, model: str) -> ModelSearchRecord:
        found: ModelSearchRecord = getattr(self, model)
        return found


class ComparisonMetrics(Message):
    """Challenger and champion on ratings that neither was trained on.

    Attributes:
        n_seen: held-out ratings that were left out, as the champion was trained on them.
        challenger: metrics on the others.
        champion: metrics on the others.
    """

    n_seen: int
    challenger: Metrics
    champion: Metrics


class Verdict(Document):
    """What the gate decided on a challenger, and beside which champion.

    Attributes:
        promote: whether the challenger may replace the champion.
        reason: why.
        checks: all conditions of the gate.
        duel: the comparison with the champion; None where there was none.
        champion: its address.
        champion_run_id: the MLflow run of its training; earlier versions do not say it.
    """

    promote: bool
    reason: str
    checks: tuple[Check, ...]
    duel: ComparisonMetrics | None = None
    champion: str | None = None
    champion_run_id: str | None = None


class MeanOverUsers(Message):
    """A model's mean nDCG@k with its interval."""

    mean: float
    low: float
    high: float
    n_users: int
    confidence: float


class Gain(Message):
    """How far the challenger is ahead of a model, with interval, and the probability that it is chance."""

    gain: float
    low: float
    high: float
    p_value: float


class ActivityGroup(Message):
    """Users of similar activity; stored with the models beside the other fields.

    Attributes:
        low: fewest training ratings of a user.
        high: most.
        n_users: in the group.
        models: mean nDCG@k with its interval, by model.
    """

    low: int
    high: int
    n_users: int
    models: dict[str, Interval]

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, document: Any) -> Any:
        if not isinstance(document, Mapping) or "models" in document:
            return document
        own = {name: value for name, value in document.items() if name in cls.model_fields}
        return {**own, "models": {name: value for name, value in document.items() if name not in own}}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        models = {name: list(interval) for name, interval in self.models.items()}
        return {"low": self.low, "high": self.high, "n_users": self.n_users, **models}


class CalibrationGroup(Message):
    """Ratings with similar predictions: means of predicted and actual ratings, and the interval of the latter."""

    n_ratings: int
    predicted: float
    actual: float
    low: float
    high: float


class Evaluation(Verdict):
    """The evaluation on the holdout.

    Attributes:
        models: metrics by model.
        intervals: nDCG@k of the models that were evaluated on the whole holdout.
        comparisons: the challenger beside each of these.
        left_out: baselines that were not fitted, and why.
        n_users: users with a list.
        k: length of the lists.
        confidence: of all intervals.
        activity: by how many ratings users gave, ascending.
        calibration: by predicted rating, ascending; empty where there is no rating model.
    """

    models: dict[str, Metrics]
    intervals: dict[str, MeanOverUsers] = Field(default_factory=dict)
    comparisons: dict[str, Gain] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    n_users: int
    k: int
    confidence: float
    activity: tuple[ActivityGroup, ...]
    calibration: tuple[CalibrationGroup, ...]


def write_trial(store: Store, model_prefix: str, model: str, trial: Trial) -> None:
    """Keep a finished trial for an attempt that goes on with the search."""
    key = layout.trial(model_prefix, model, json.dumps(trial.params, sort_keys=True))
    TrialRecord.of_trial(trial).write(store, key, overwrite=True)


def read_trials(store: Store, model_prefix: str, model: str) -> list[Trial]:
    """The trials that earlier attempts finished, in the order in which they were asked for."""
    keys = store.list(f"{layout.trials(model_prefix)}{model}-")
    return sorted((TrialRecord.load(store, key).trial() for key in keys), key=lambda trial: trial.number)
