"""What a model was made from: a document beside it in the store, which other stages and later trainings read."""

import logging
from collections.abc import Mapping

from pydantic import Field, TypeAdapter, ValidationError

from recsys.errors import NotFoundError
from recsys.messages import Message, Params
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.documents import Document

log = logging.getLogger(__name__)
_POINTS = TypeAdapter(dict[str, Params])


class MemberRecord(Message):
    """One fit among those that a model is made of: hyper-parameters from the search of `model`."""

    model: str
    point: Params


class CompositionRecord(Message):
    """The fits that both models are made of.

    Attributes:
        ranking: members of the ranking model.
        rating: members of the rating model; none where there are no ratings.
        sentences: why these, for people.
    """

    ranking: tuple[MemberRecord, ...]
    rating: tuple[MemberRecord, ...]
    sentences: tuple[str, ...]


class ModelRecord(Document):
    """What a model was made from.

    Models of earlier versions have no such document, only tags in MLflow: see `read_record`. People may edit those, so
    any of the fields may be empty then.

    Attributes:
        dataset: of the snapshot.
        snapshot_id: the snapshot that it was trained on, with its `fingerprint`.
        split: name of the kind of split.
        train_key: of the ratings that it was fitted on.
        points: the best hyper-parameters of the search, by model.
        composition: what it is made of; None where only MLflow's run says so.
    """

    dataset: str = ""
    snapshot_id: str = ""
    fingerprint: str = ""
    split: str = ""
    train_key: str = ""
    points: dict[str, Params] = Field(default_factory=dict)
    composition: CompositionRecord | None = None


def read_record(store: Store, mlflow_run_id: str, tags: Mapping[str, str]) -> ModelRecord:
    """The record of a registered model, from the store, or from the tags of its version where the store has none."""
    prefix = tags.get("model_prefix") or layout.model(mlflow_run_id)
    try:
        return ModelRecord.load(store, layout.model_record(prefix))
    except NotFoundError:
        fields = {name: tags.get(name, "") for name in ("dataset", "snapshot_id", "fingerprint", "split")}
        return ModelRecord(**fields, train_key=tags.get("train", ""), points=_points(tags, mlflow_run_id))


def _points(tags: Mapping[str, str], mlflow_run_id: str) -> dict[str, Params]:
    try:
        return _POINTS.validate_json(tags.get("points", "{}"))
    except ValidationError:
        log.warning("the tag points of the model of run %s was edited in MLflow; it is not used", mlflow_run_id)
        return {}
