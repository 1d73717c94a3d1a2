"""The holdout exam of a training run: challenger, champion and baselines, and what the gate makes of it."""

import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.baselines.baselines import BASELINES, too_large
from recsys.config import TrainConfig
from recsys.errors import AlreadyExistsError
from recsys.evaluation.evaluator import Exam, Lists, Ratings
from recsys.evaluation.significance import mean_with_interval, paired_bootstrap, paired_permutation
from recsys.ids import distinct, positions
from recsys.models.recommender import Recommender
from recsys.registry.champions import Champions, RegisteredModel, stored_model
from recsys.registry.training_runs import EXPERIMENT, registered_name
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.tables import read_json, read_table, write_json
from recsys.tracking.tracking import Tracking
from recsys.training.gate import Check, decide, gain_check, loss_check
from recsys.training.report import training_page

log = logging.getLogger(__name__)
Models = dict[str, dict[str, float]]
PerUser = dict[str, NDArray[np.float64]]
_CHAMPION_CHECKS = ("beats champion", "stars no worse than champion")
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
    checks = _own_checks(models, per_user, config)
    champion = Champions(store, tracking, registered_name(fitted["dataset"])).present()
    duel = None
    if champion is not None:
        duel = _duel(store, tracking, exam, challenger, champion, config)
        checks += _duel_checks(duel, config)
        models["champion"] = duel.champion
        per_user |= {} if duel.n_seen else {"champion": duel.per_user["champion"]}
    _log_models(store, tracking, fitted, models, per_user)
    return {
        **_verdict(checks, duel, champion),
        "models": models,
        "intervals": {name: asdict(mean_with_interval(v, config.confidence)) for name, v in per_user.items()},
        "comparisons": _comparisons(per_user, config),
        "left_out": left_out,
        "n_users": len(exam.user_ids),
        "k": config.k,
        "confidence": config.confidence,
        "activity": training_page.by_activity(exam.n_seen(), per_user, config.confidence),
        "calibration": training_page.calibration(*exam.stars(challenger.rating), config.confidence)
        if challenger.rating
        else [],
    }


def verdict(
    store: Store, tracking: Tracking, state: dict[str, Any], config: TrainConfig, champion: RegisteredModel | None
) -> tuple[str, dict[str, Any]]:
    """The verdict on a challenger beside this champion, and its key: that of the exam, or of a repeated comparison.

    What was found about popularity and the biases stands; the champion may be another one than at the exam.
    """
    key = layout.evaluation(state["model_prefix"])
    exam = read_json(store, key)
    if (exam["champion"], exam.get("champion_run_id")) in _names(champion):
        return key, exam
    key = layout.comparison(state["model_prefix"], champion.mlflow_run_id if champion else None)
    if not store.exists(key):
        own = [Check(**check) for check in exam["checks"] if check["name"] not in _CHAMPION_CHECKS]
        if champion is None:
            document = _verdict(own, None, None)
        elif not all(store.exists(state[part]) for part in ("train", "holdout")):
            gone = f"cannot be compared with {champion.model.uri}, the champion now: its held-out ratings were removed"
            return key, _verdict([Check(_CHAMPION_CHECKS[0], passed=False, reason=gone)], None, champion)
        else:
            document = _compared_again(store, tracking, state, config, champion, own)
        with contextlib.suppress(AlreadyExistsError):  # another attempt came to the same
            write_json(store, key, document)
    return key, read_json(store, key)


def _names(champion: RegisteredModel | None) -> list[tuple[str | None, str | None]]:
    """How an exam may name this champion; documents of old say only its address."""
    return [(champion.model.uri, champion.mlflow_run_id), (champion.model.uri, None)] if champion else [(None, None)]


def _compared_again(
    store: Store,
    tracking: Tracking,
    state: dict[str, Any],
    config: TrainConfig,
    champion: RegisteredModel,
    own: list[Check],
) -> dict[str, Any]:
    train, holdout = (Ratings.from_table(read_table(store, state[part])) for part in ("train", "holdout"))
    challenger = Recommender.from_bytes(store.get(layout.recommender(state["model_prefix"])))
    log.info("%s is champion now: the challenger is compared with it", champion.model.uri)
    exam = Exam(train, holdout, config.k, config.relevant_rating)
    duel = _duel(store, tracking, exam, challenger, champion, config)
    _log_models(store, tracking, state, {"champion": duel.champion}, {} if duel.n_seen else duel.per_user)
    return _verdict([*own, *_duel_checks(duel, config)], duel, champion)


def _verdict(checks: Iterable[Check], duel: Duel | None, champion: RegisteredModel | None) -> dict[str, Any]:
    """The part of a document that says what the gate decided, and beside which champion."""
    decision = decide(list(checks))
    return {
        "promote": decision.promote,
        "reason": decision.reason,
        "checks": [asdict(check) for check in decision.checks],
        "duel": duel and {name: getattr(duel, name) for name in ("n_seen", "challenger", "champion")},
        "champion": champion and champion.model.uri,
        "champion_run_id": champion and champion.mlflow_run_id,
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
    if challenger.rating:
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


def _trained_on(store: Store, champion_tags: Mapping[str, str]) -> NDArray[np.int64]:
    """The pairs a champion was trained on, as far as that is still known."""
    key = champion_tags.get("train", "")
    if not key or not store.exists(key):
        log.warning("what the champion was trained on is not known any more; it is judged on the whole holdout")
        return np.empty(0, np.int64)
    return Ratings.from_table(read_table(store, key)).pairs()


def _duel(
    store: Store,
    tracking: Tracking,
    exam: Exam,
    challenger: Recommender,
    champion: RegisteredModel,
    config: TrainConfig,
) -> Duel:
    """Judge both on what is new to both. Where nothing relevant is, on all: that favours the champion."""
    present = Recommender.from_bytes(store.get(layout.recommender(stored_model(store, tracking, champion))))
    seen = positions(distinct(_trained_on(store, champion.tags)), exam.test.pairs()) >= 0
    if seen.any():
        fair = Exam(exam.train, exam.test.where(~seen), config.k, config.relevant_rating)
        exam = fair if len(fair.user_ids) else exam
        log.warning("%s held-out ratings trained the champion; both are compared without them", f"{seen.sum():,}")
    means, per_user = {}, {}
    has_ratings = config.has_rating_model and present.rating is not None
    for name, pair in {"challenger": challenger, "champion": present}.items():
        lists = exam.rank(pair.ranking)
        accuracy, values = exam.judge_lists(lists)
        stars = exam.judge_rating(pair.rating) if has_ratings and pair.rating else {}
        means[name] = {**accuracy, **exam.describe_lists(lists), **stars}
        per_user[name] = values[f"ndcg_at_{exam.k}"]
    return Duel(int(seen.sum()), means["challenger"], means["champion"], per_user)


def _own_checks(models: Models, per_user: PerUser, config: TrainConfig) -> list[Check]:
    """What holds whoever is champion: order against popularity, stars, if any, against the biases alone."""
    return _checks("popularity", per_user, "biases", models["challenger"], models.get("biases", {}), config)


def _duel_checks(duel: Duel, config: TrainConfig) -> list[Check]:
    """Order and stars against the champion; order alone where one of both has no rating model."""
    return _checks("champion", duel.per_user, "champion", duel.challenger, duel.champion, config)


def _checks(
    opponent: str,
    per_user: PerUser,
    peer: str,
    ours: dict[str, float],
    theirs: dict[str, float],
    config: TrainConfig,
) -> list[Check]:
    gain = paired_bootstrap(per_user["challenger"], per_user[opponent], config.confidence, seed=config.seed)
    metric = f"nDCG@{config.k}"
    checks = [gain_check(opponent, metric, gain.mean, gain.low, gain.confidence, config.min_gain)]
    if "rmse" in ours and "rmse" in theirs:
        checks.append(loss_check(peer, ours["rmse"], theirs["rmse"], config.max_rmse_loss))
    return checks


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
