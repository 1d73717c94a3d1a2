"""A model that the gate refused, as the tasks evaluate and register return it."""

from recsys.messages import EvaluationResult, ModelVersion, SearchResult, SplitRef, TrainedModel

SPLIT = SplitRef(
    snapshot_id="tiny-1",
    dataset="tiny",
    fingerprint="f",
    training_id="t",
    train_key="train.parquet",
    holdout_key="holdout.parquet",
    n_train=2,
    n_holdout=1,
)
EVALUATED = EvaluationResult(
    model=TrainedModel(search=SearchResult(split=SPLIT, mlflow_run_id="r", params={}), model_prefix="models/r"),
    is_accepted=False,
    reason="does not beat popularity",
    metrics={},
    opponent=None,
)
VERSION = ModelVersion(name="recsys-tiny", number=1, uri="models:/recsys-tiny/1")
