"""The holdout exam of a training run: challenger, champion and baselines, and what the gate makes of it."""

import logging
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.config import TrainConfig
from recsys.evaluation.compare import mean_with_interval, paired_bootstrap, paired_permutation
from recsys.ids import distinct, positions
from recsys.jobs import pictures
from recsys.jobs.judging import Exam, Lists, Ratings
from recsys.jobs.trials import EXPERIMENT, registered_name
from recsys.lifecycle.gate import Check, Decision, decide, gain_check, loss_check
from recsys.models.baselines import BASELINES, too_large
from recsys.models.recommender import Recommender
from recsys.storage import layout
from recsys.storage.store import Store
from recsys.storage.tables import read_table
from recsys.tracking import CHAMPION, Tracking

log = logging.getLogger(__name__)
Models = dict[str, dict[str, float]]
PerUser = dict[str, NDArray[np.float64]]
# With more users a permutation test of 10,000 flips takes minutes, and chance has little left to explain.
_MANY_USERS = 20_000


class Duel(NamedTuple):
    """Challenger and champion on ratings that neither was trained on.

    Attributes:
        n_seen: ratings of the holdout that the champion was trained on, and that are left out therefore.
        challenger: means of the challenger on the rest.
        champion: means of the champion on the rest.
        per_user: nDCG@k of both, in the order of the examined users.
    """

    n_seen: int
    challenger: dict[str, float]
    champion: dict[str, float]
    per_user: PerUser


def sit_exam(store: Store, tracking: Tracking, fitted: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Judge everything on the holdout and decide; the JSON document that the run keeps of it."""
    train, holdout = (Ratings.from_table(read_table(store, fitted[part])) for part in ("train", "holdout"))
    exam = Exam(train, holdout, config.k, config.relevant_rating)
    challenger = Recommender.from_bytes(store.get(layout.recommender(fitted["model_prefix"])))
    models, per_user, left_out = _judge(exam, challenger, config)
    champion = tracking.by_alias(registered_name(fitted["dataset"]), CHAMPION)
    duel = None
    if champion is not None:
        present = Recommender.from_bytes(tracking.recommender_bytes(champion["uri"]))
        duel = _duel(exam, challenger, present, _trained_on(store, champion["tags"]), config)
        models["champion"] = duel.champion
        per_user |= {} if duel.n_seen else {"champion": duel.per_user["champion"]}
    decision = _gate(models, per_user, duel, config)
    _log_models(store, tracking, fitted, models, per_user)
    return {
        "promote": decision.promote,
        "reason": decision.reason,
        "checks": [asdict(check) for check in decision.checks],
        "models": models,
        "intervals": {name: asdict(mean_with_interval(v, config.confidence)) for name, v in per_user.items()},
        "comparisons": _comparisons(per_user, config),
        "left_out": left_out,
        "duel": duel and {name: getattr(duel, name) for name in ("n_seen", "challenger", "champion")},
        "champion": champion and champion["uri"],
        "n_users": len(exam.user_ids),
        "k": config.k,
        "confidence": config.confidence,
        "activity": pictures.by_activity(exam.n_seen(), per_user, config.confidence),
        "calibration": pictures.calibration(*exam.stars(challenger.rating), config.confidence),
    }


def _judge(exam: Exam, challenger: Recommender, config: TrainConfig) -> tuple[Models, PerUser, dict[str, str]]:
    """Means per model, nDCG@k per user, and why baselines were left out, if any were."""
    models: Models = {}
    per_user: PerUser = {}

    def judge(name: str, lists: Lists) -> None:
        means, values = exam.judge_lists(lists)
        models[name] = {**means, **exam.describe_lists(lists)}
        per_user[name] = values[f"ndcg_at_{exam.k}"]

    judge("challenger", exam.rank(challenger.ranking))
    models["challenger"] |= exam.judge_rating(challenger.rating)
    models["biases"] = exam.judge_rating(challenger.rating.biases_alone())
    judge("popularity", exam.rank(exam.popularity))
    left_out: dict[str, str] = {name: why for name in config.baselines if (why := too_large(name, exam.matrix.stars))}
    for name, why in left_out.items():
        log.info("baseline %s is left out: %s", name, why)
    for name in config.baselines:
        if name not in left_out:
            judge(name, exam.rank_all(BASELINES[name](exam.matrix.stars)))
            log.info("baseline %s: nDCG@%d %.4f", name, exam.k, models[name][f"ndcg_at_{exam.k}"])
    return models, per_user, left_out


def _trained_on(store: Store, champion_tags: dict[str, str]) -> NDArray[np.int64]:
    """The pairs a champion was trained on, as far as that is still known."""
    key = champion_tags.get("train", "")
    if not key or not store.exists(key):
        log.warning("what the champion was trained on is not known any more; it is judged on the whole holdout")
        return np.empty(0, np.int64)
    return Ratings.from_table(read_table(store, key)).pairs()


def _duel(
    exam: Exam, challenger: Recommender, champion: Recommender, known: NDArray[np.int64], config: TrainConfig
) -> Duel:
    """Judge both on what is new to both. Where nothing relevant is, on all: that favours the champion."""
    seen = positions(distinct(known), exam.test.pairs()) >= 0
    if seen.any():
        fair = Exam(exam.train, exam.test.where(~seen), config.k, config.relevant_rating)
        exam = fair if len(fair.user_ids) else exam
        log.warning("%s held-out ratings trained the champion; both are compared without them", f"{seen.sum():,}")
    means, per_user = {}, {}
    for name, pair in {"challenger": challenger, "champion": champion}.items():
        lists = exam.rank(pair.ranking)
        accuracy, values = exam.judge_lists(lists)
        means[name] = {**accuracy, **exam.describe_lists(lists), **exam.judge_rating(pair.rating)}
        per_user[name] = values[f"ndcg_at_{exam.k}"]
    return Duel(int(seen.sum()), means["challenger"], means["champion"], per_user)


def _gate(models: Models, per_user: PerUser, duel: Duel | None, config: TrainConfig) -> Decision:
    """Order against popularity and the champion; stars against the biases alone and the champion."""
    gains = {"popularity": per_user}
    losses = {"biases": (models["challenger"]["rmse"], models["biases"]["rmse"])}
    if duel is not None:
        gains["champion"] = duel.per_user
        losses["champion"] = (duel.challenger["rmse"], duel.champion["rmse"])
    checks: list[Check] = []
    for opponent, values in gains.items():
        gain = paired_bootstrap(values["challenger"], values[opponent], config.confidence, seed=config.seed)
        name = f"nDCG@{config.k}"
        checks.append(gain_check(opponent, name, gain.mean, gain.low, gain.confidence, config.min_gain))
    checks += [loss_check(peer, ours, theirs, config.max_rmse_loss) for peer, (ours, theirs) in losses.items()]
    return decide(checks)


def _comparisons(per_user: PerUser, config: TrainConfig) -> dict[str, dict[str, float]]:
    """How far the challenger is ahead of each model, how sure that is, and the odds that it is luck."""
    ours, found = per_user["challenger"], {}
    n_flips = 10_000 if len(ours) <= _MANY_USERS else 1_000
    for name, theirs in per_user.items():
        if name != "challenger":
            gain = paired_bootstrap(ours, theirs, config.confidence, seed=config.seed)
            p_value = paired_permutation(ours, theirs, n_flips, seed=config.seed).p_value
            found[name] = {"gain": gain.mean, "low": gain.low, "high": gain.high, "p_value": p_value}
    return found


def _log_models(store: Store, tracking: Tracking, fitted: dict[str, Any], models: Models, per_user: PerUser) -> None:
    """The challenger's metrics go to the training run itself, each peer's to a nested run beside the trials."""
    source = store.uri(fitted["holdout"])
    for name, values in models.items():
        metrics = {f"holdout_{metric}": value for metric, value in values.items() if np.isfinite(value)}
        if name == "challenger":
            tracking.log(fitted["run_id"], metrics=metrics)
            tracking.log_dataset(fitted["run_id"], fitted["dataset"], fitted["fingerprint"], source, "holdout")
            continue
        whole = name in per_user or name == "biases"
        tags = {
            "training_id": fitted["training_id"],
            "peer": name,
            "holdout": "whole" if whole else "without the ratings it was trained on",
        }
        with tracking.run(EXPERIMENT, f"peer: {name}", parent=fitted["run_id"], tags=tags) as run_id:
            tracking.log(run_id, metrics=metrics)
            tracking.log_dataset(run_id, fitted["dataset"], fitted["fingerprint"], source, "holdout")
