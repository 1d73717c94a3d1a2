"""The holdout exam of a training run: challenger, champion and baselines, and what the gate makes of it."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import TrainConfig
from recsys.evaluation.compare import paired_bootstrap
from recsys.jobs import pictures
from recsys.jobs.judging import Exam, Ratings
from recsys.jobs.trials import EXPERIMENT, registered_name
from recsys.lifecycle.gate import Check, Decision, decide, gain_check, loss_check
from recsys.models.recommender import Recommender
from recsys.storage import layout
from recsys.storage.store import Store
from recsys.storage.tables import read_table
from recsys.tracking import CHAMPION, Tracking

Models = dict[str, dict[str, float]]
PerUser = dict[str, NDArray[np.float64]]


def sit_exam(store: Store, tracking: Tracking, fitted: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Judge everything on the holdout and decide; the JSON document that the run keeps of it."""
    train, holdout = (Ratings.from_table(read_table(store, fitted[part])) for part in ("train", "holdout"))
    exam = Exam(train, holdout, config.k, config.relevant_rating)
    challenger = Recommender.from_bytes(store.get(layout.recommender(fitted["model_prefix"])))
    pairs = {"challenger": challenger}
    champion = tracking.by_alias(registered_name(fitted["dataset"]), CHAMPION)
    if champion is not None:
        pairs["champion"] = Recommender.from_bytes(tracking.recommender_bytes(champion["uri"]))
    models, per_user = _judge(exam, pairs)
    models["biases"] = exam.judge_rating(challenger.rating.biases_alone())
    decision = _gate(models, per_user, config)
    for name, values in models.items():
        _log_model(tracking, fitted, name, values)
    tracking.log_dataset(
        fitted["run_id"], fitted["dataset"], fitted["fingerprint"], store.uri(fitted["holdout"]), "holdout"
    )
    return {
        "promote": decision.promote,
        "reason": decision.reason,
        "checks": [asdict(check) for check in decision.checks],
        "models": models,
        "champion": champion and champion["uri"],
        "n_users": len(exam.user_ids),
        "k": config.k,
        "confidence": config.confidence,
        "activity": pictures.by_activity(exam.n_seen(), per_user, config.confidence),
        "calibration": pictures.calibration(*exam.stars(challenger.rating), config.confidence),
    }


def _judge(exam: Exam, pairs: dict[str, Recommender]) -> tuple[Models, PerUser]:
    """Means per model, and nDCG@k per user, of every pair and of popularity."""
    models: Models = {}
    per_user: PerUser = {}
    ndcg = f"ndcg_at_{exam.k}"
    for name, pair in pairs.items():
        means, values = exam.judge_ranking(pair.ranking)
        models[name], per_user[name] = {**means, **exam.judge_rating(pair.rating)}, values[ndcg]
    models["popularity"], values = exam.judge_ranking(exam.popularity)
    per_user["popularity"] = values[ndcg]
    return models, per_user


def _gate(models: Models, per_user: PerUser, config: TrainConfig) -> Decision:
    """Order against popularity and the champion; stars against the biases alone and the champion."""
    checks: list[Check] = []
    stars = models["challenger"]["rmse"]
    for opponent in ("popularity", "champion"):
        if opponent in per_user:
            gain = paired_bootstrap(per_user["challenger"], per_user[opponent], config.confidence, seed=config.seed)
            name = f"nDCG@{config.k}"
            checks.append(gain_check(opponent, name, gain.mean, gain.low, gain.confidence, config.min_gain))
    peers = [opponent for opponent in ("biases", "champion") if opponent in models]
    checks += [loss_check(peer, stars, models[peer]["rmse"], config.max_rmse_loss) for peer in peers]
    return decide(checks)


def _log_model(tracking: Tracking, fitted: dict[str, Any], name: str, values: dict[str, float]) -> None:
    """The challenger's metrics go to the training run itself, each peer's to a nested run beside the trials."""
    metrics = {f"holdout_{metric}": value for metric, value in values.items()}
    if name == "challenger":
        tracking.log(fitted["run_id"], metrics=metrics)
        return
    tags = {"training_id": fitted["training_id"], "peer": name}
    with tracking.run(EXPERIMENT, f"peer: {name}", parent=fitted["run_id"], tags=tags) as run_id:
        tracking.log(run_id, metrics=metrics)
        tracking.log_dataset(run_id, fitted["dataset"], fitted["fingerprint"], fitted["holdout"], "holdout")
