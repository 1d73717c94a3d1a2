"""The evaluation of a training on its holdout: challenger, champion and baselines, and what the gate makes of it."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.baselines.baselines import BASELINES, too_large
from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Evaluator, Lists, Ratings
from recsys.evaluation.significance import mean_with_interval, paired_bootstrap, paired_permutation
from recsys.ids import distinct, positions
from recsys.models.recommender import Recommender
from recsys.registry.champions import RegisteredModel
from recsys.training.gate import Check, decide, gain_check, loss_check
from recsys.training.report.groups import by_activity, calibration
from recsys.training.training_documents import (
    ComparisonMetrics,
    Evaluation,
    Gain,
    MeanOverUsers,
    Metrics,
    Verdict,
)

log = logging.getLogger(__name__)
Models = dict[str, Metrics]
PerUser = dict[str, NDArray[np.float64]]
CHAMPION_CHECKS = ("beats champion", "stars no worse than champion")
# With more users a permutation test of 10,000 flips takes minutes, and chance has little left to explain.
_MANY_USERS = 20_000


@dataclass(frozen=True)
class Champion:
    """The present champion, as a challenger is compared with it.

    Attributes:
        registered: its version.
        recommender: the model.
        trained_on: user and movie of each rating it was trained on, as of `Ratings.pairs`; none where not known.
    """

    registered: RegisteredModel
    recommender: Recommender
    trained_on: NDArray[np.int64]


class ChampionComparison(NamedTuple):
    """Challenger and champion on ratings that neither was trained on.

    Attributes:
        metrics: of both.
        per_user: nDCG@k of both, in the order of the examined users.
    """

    metrics: ComparisonMetrics
    per_user: PerUser


def evaluate(
    train: Ratings, holdout: Ratings, challenger: Recommender, champion: Champion | None, config: TrainConfig
) -> Evaluation:
    """Evaluate everything on the holdout and decide."""
    evaluator = Evaluator(train, holdout, config.k, config.relevant_rating)
    models, per_user, left_out = _evaluate_models(evaluator, challenger, config)
    checks = _own_checks(models, per_user, config)
    comparison = None
    if champion is not None:
        comparison = _compare(evaluator, challenger, champion, config)
        checks += _champion_checks(comparison, config)
        models["champion"] = comparison.metrics.champion
        per_user |= {} if comparison.metrics.n_seen else {"champion": comparison.per_user["champion"]}
    groups = calibration(*evaluator.predictions(challenger.rating), config.confidence) if challenger.rating else []
    return Evaluation(
        **dict(verdict(checks, comparison and comparison.metrics, champion.registered if champion else None)),
        models=models,
        intervals={
            name: MeanOverUsers(**asdict(mean_with_interval(v, config.confidence))) for name, v in per_user.items()
        },
        comparisons=_comparisons(per_user, config),
        left_out=left_out,
        n_users=len(evaluator.user_ids),
        k=config.k,
        confidence=config.confidence,
        activity=tuple(by_activity(evaluator.n_seen(), per_user, config.confidence)),
        calibration=tuple(groups),
    )


def compare_again(
    train: Ratings,
    holdout: Ratings,
    challenger: Recommender,
    champion: Champion,
    own_checks: Iterable[Check],
    config: TrainConfig,
) -> Verdict:
    """The verdict beside another champion than at the evaluation, whose `own_checks` stand."""
    log.info("%s is champion now: the challenger is compared with it", champion.registered.model.uri)
    comparison = _compare(Evaluator(train, holdout, config.k, config.relevant_rating), challenger, champion, config)
    return verdict([*own_checks, *_champion_checks(comparison, config)], comparison.metrics, champion.registered)


def verdict(
    checks: Iterable[Check], comparison: ComparisonMetrics | None = None, champion: RegisteredModel | None = None
) -> Verdict:
    """What the gate decides by these checks, and beside which champion."""
    decision = decide(list(checks))
    return Verdict(
        promote=decision.promote,
        reason=decision.reason,
        checks=tuple(decision.checks),
        duel=comparison,
        champion=champion and champion.model.uri,
        champion_run_id=champion and champion.mlflow_run_id,
    )


def is_about(verdict: Verdict, champion: RegisteredModel | None) -> bool:
    """Whether a verdict is beside this champion; documents of earlier versions say only its address."""
    if champion is None:
        return (verdict.champion, verdict.champion_run_id) == (None, None)
    return verdict.champion == champion.model.uri and verdict.champion_run_id in (champion.mlflow_run_id, None)


def not_comparable(champion: RegisteredModel) -> Verdict:
    """The verdict beside a champion that the challenger cannot be compared with any more."""
    gone = f"cannot be compared with {champion.model.uri}, the champion now: its held-out ratings were removed"
    return verdict([Check(CHAMPION_CHECKS[0], passed=False, reason=gone)], champion=champion)


def _evaluate_models(
    evaluator: Evaluator, challenger: Recommender, config: TrainConfig
) -> tuple[Models, PerUser, dict[str, str]]:
    """Means per model, nDCG@k per user, and why baselines were left out, if any were."""
    models: Models = {}
    per_user: PerUser = {}

    def add(name: str, lists: Lists) -> None:
        means, values = evaluator.evaluate_lists(lists)
        models[name] = {**means, **evaluator.describe_lists(lists)}
        per_user[name] = values[f"ndcg_at_{evaluator.k}"]

    add("challenger", evaluator.rank(challenger.ranking))
    if challenger.rating:
        models["challenger"] |= evaluator.evaluate_rating(challenger.rating)
        models["biases"] = evaluator.evaluate_rating(challenger.rating.biases_alone())
    add("popularity", evaluator.rank(evaluator.popularity))
    left_out: dict[str, str] = {
        name: why for name in config.baselines if (why := too_large(name, evaluator.matrix.stars))
    }
    for name, why in left_out.items():
        log.info("baseline %s is left out: %s", name, why)
    for name in config.baselines:
        if name not in left_out:
            add(name, evaluator.rank_all(BASELINES[name](evaluator.matrix.stars)))
            log.info("baseline %s: nDCG@%d %.4f", name, evaluator.k, models[name][f"ndcg_at_{evaluator.k}"])
    return models, per_user, left_out


def _compare(
    evaluator: Evaluator, challenger: Recommender, champion: Champion, config: TrainConfig
) -> ChampionComparison:
    """Judge both on what is new to both. Where nothing relevant is, on all: that favours the champion."""
    present = champion.recommender
    seen = positions(distinct(champion.trained_on), evaluator.test.pairs()) >= 0
    if seen.any():
        fair = Evaluator(evaluator.train, evaluator.test.where(~seen), config.k, config.relevant_rating)
        evaluator = fair if len(fair.user_ids) else evaluator
        log.warning("%s held-out ratings trained the champion; both are compared without them", f"{seen.sum():,}")
    means, per_user = {}, {}
    has_ratings = config.has_rating_model and present.rating is not None
    for name, recommender in {"challenger": challenger, "champion": present}.items():
        lists = evaluator.rank(recommender.ranking)
        accuracy, values = evaluator.evaluate_lists(lists)
        predicted = evaluator.evaluate_rating(recommender.rating) if has_ratings and recommender.rating else {}
        means[name] = {**accuracy, **evaluator.describe_lists(lists), **predicted}
        per_user[name] = values[f"ndcg_at_{evaluator.k}"]
    return ChampionComparison(ComparisonMetrics(n_seen=int(seen.sum()), **means), per_user)


def _own_checks(models: Models, per_user: PerUser, config: TrainConfig) -> list[Check]:
    """What holds whoever is champion: lists against popularity, predicted ratings, if any, against the biases alone."""
    return _checks("popularity", per_user, "biases", models["challenger"], models.get("biases", {}), config)


def _champion_checks(comparison: ChampionComparison, config: TrainConfig) -> list[Check]:
    """Lists and predicted ratings against the champion; lists alone where one of both has no rating model."""
    return _checks(
        "champion", comparison.per_user, "champion", comparison.metrics.challenger, comparison.metrics.champion, config
    )


def _checks(
    opponent: str,
    per_user: PerUser,
    rating_opponent: str,
    ours: dict[str, float],
    theirs: dict[str, float],
    config: TrainConfig,
) -> list[Check]:
    gain = paired_bootstrap(per_user["challenger"], per_user[opponent], config.confidence, seed=config.seed)
    metric = f"nDCG@{config.k}"
    checks = [gain_check(opponent, metric, gain.mean, gain.low, gain.confidence, config.min_gain)]
    if "rmse" in ours and "rmse" in theirs:
        checks.append(loss_check(rating_opponent, ours["rmse"], theirs["rmse"], config.max_rmse_loss))
    return checks


def _comparisons(per_user: PerUser, config: TrainConfig) -> dict[str, Gain]:
    """How far the challenger is ahead of each model, how sure that is, and the odds that it is luck."""
    ours, found = per_user["challenger"], {}
    n_flips = 10_000 if len(ours) <= _MANY_USERS else 1_000
    for name, theirs in per_user.items():
        if name != "challenger":
            gain = paired_bootstrap(ours, theirs, config.confidence, seed=config.seed)
            p_value = paired_permutation(ours, theirs, n_flips, seed=config.seed).p_value
            found[name] = Gain(gain=gain.mean, low=gain.low, high=gain.high, p_value=p_value)
    return found
