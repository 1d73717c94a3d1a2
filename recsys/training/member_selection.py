"""What the two served models are made of: several fits each, chosen on one fold by what they add to each other.

Fits with different hyper-parameters err in different places, so their sum orders better than the best of them. What
somebody chooses to watch says much about how they rate it, so the ranking model's fits help to predict ratings. Both
results are factor models again, scored and served like any other (`recsys.models.ensemble`, `recsys.models.blend`).
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.evaluation.metrics import rmse
from recsys.messages import SearchResult
from recsys.models.blend import Blend, Support, blend_columns, blended, crossfitted, fit_blend
from recsys.models.ensemble import grow, weighted_sum
from recsys.models.factors import Factors
from recsys.models.recipe import Recipe
from recsys.models.recommender import RatingModel, Recommender
from recsys.registry.model_records import CompositionRecord, MemberRecord, ModelRecord
from recsys.search.space import Params, different, show
from recsys.training.fits.engines import Fitter, fitter_of, n_parallel, split_name
from recsys.training.fits.folds import Fold, FoldEvaluator
from recsys.training.report.training_report import Searched

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)
# What a further member must bring on the fold, or it is not worth its fit: nDCG, and RMSE.
_LEAST_NDCG, _LEAST_RMSE = 5e-4, 2e-4
# Fewer validated ratings than this say too little about a blend's weights.
_LEAST_RATINGS = 1_000
_N_EXPLICIT = 2


@dataclass(frozen=True)
class Part:
    """One fit among those a model is made of."""

    model: str  # whose search it comes from: ``ranking`` (implicit) or ``rating`` (explicit)
    params: Params

    def fit(self, fitter: Fitter, seed: int | None = None) -> Factors:
        return fitter.fit(self.model, self.params, seed)

    def __str__(self) -> str:
        return f"{self.model} {show(self.params)}"


@dataclass(frozen=True)
class Composition:
    """What both models are made of.

    Attributes:
        ranking: parts whose scores are averaged; one that stands twice weighs double.
        rating: parts of the blend; without one, the single part is the model of the residuals. None
            where nobody rated.
        blend: weights of the parts of `rating`.
        sentences: what was chosen and what it brings, for people.
    """

    ranking: list[Part]
    rating: list[Part]
    blend: Blend | None
    sentences: list[str]

    def to_record(self) -> CompositionRecord:
        """What was chosen, without the weights, which the model itself holds."""
        ranking, rating = (
            tuple(MemberRecord(model=part.model, point=part.params) for part in parts)
            for parts in (self.ranking, self.rating)
        )
        return CompositionRecord(ranking=ranking, rating=rating, sentences=tuple(self.sentences))


def choose(folds: FoldEvaluator, found: Sequence[Searched], config: TrainConfig) -> Composition:
    """Fit the best candidates on the last fold's training part and combine them by what they bring on the rest of it.

    Args:
        folds: those of the search.
        found: the searches, that of the ranking model first; no other where nobody rated.
        config: `n_members` parts of each model at most.
    """
    n_finalists = {"ranking": config.n_members + 2, "rating": _N_EXPLICIT}
    ranking, *others = (
        [Part(each.model, params) for params in finalists(each, n_finalists[each.model])] for each in found
    )
    rating = others[0] if others else []
    if config.n_members == 1:
        return Composition(ranking[:1], rating[:1], None, [])
    parts, last = [*rating, *ranking], config.n_folds - 1
    log.info("combining: %d candidates are fitted on a fold", len(parts))
    with ThreadPoolExecutor(folds.n_parallel) as pool:
        models = list(pool.map(lambda part: folds.fit(part.model, part.params, last), parts))
    fold = folds.fold(last)
    members, of_ranking = _choose_ranking(fold.evaluator, ranking, models[len(rating) :], config.n_members)
    if not rating:
        log.info("%s", of_ranking)
        return Composition(members, [], None, [of_ranking])
    blended_parts, blend, of_rating = _choose_rating(fold, parts, models, config.n_members)
    for sentence in (of_ranking, of_rating):
        log.info("%s", sentence)
    return Composition(members, blended_parts, blend, [of_ranking, of_rating])


def model_record(searched: SearchResult, config: TrainConfig, composition: Composition) -> ModelRecord:
    """The document that says what the model of a training is made from."""
    split = searched.split
    return ModelRecord(
        dataset=split.dataset,
        snapshot_id=split.snapshot_id,
        fingerprint=split.fingerprint,
        split=split_name(config),
        train_key=split.train_key,
        points=searched.params,
        composition=composition.to_record(),
    )


def finalists(searched: Searched, n: int) -> list[Params]:
    """The best different candidates that were judged in full, best first."""
    full = [trial for trial in searched.outcome.trials if trial.stage == "full"]
    return different([trial.params for trial in searched.objective.ranked(full)], n)


def fit(spark: "SparkSession", ratings: Ratings, composition: Composition, config: TrainConfig) -> Recommender:
    """The recommender that is served, all its parts fitted on the same ratings by MLlib.

    A part that stands twice in the ranking model is fitted with another seed the second time.
    """
    fitter = fitter_of(spark, ratings, config)
    ranking = [(str(part), composition.ranking[:at].count(part)) for at, part in enumerate(composition.ranking)]
    rating = [(str(part), 0) for part in composition.rating]
    by_name = {str(part): part for part in [*composition.ranking, *composition.rating]}
    wanted = list(dict.fromkeys([*ranking, *rating]))
    log.info("fitting %d models on all %s ratings", len(wanted), f"{len(ratings):,}")
    with ThreadPoolExecutor(n_parallel(spark)) as pool:
        fits = pool.map(lambda want: by_name[want[0]].fit(fitter, config.seed + want[1]), wanted)
        models = dict(zip(wanted, fits, strict=True))
    ordered = [models[want] for want in ranking]
    movies, counts = np.unique(ratings.movie_ids, return_counts=True)
    order = np.lexsort((movies, -counts))
    return Recommender(
        ordered[0] if len(ordered) == 1 else weighted_sum(ordered),
        _rating_model(fitter, composition, [models[want] for want in rating]),
        movies[order],
        counts[order].astype(np.int32),
        _recipe(fitter, composition),
    )


def _rating_model(fitter: Fitter, composition: Composition, residuals: list[Factors]) -> RatingModel | None:
    """What the parts of `composition.rating` make together; None where there are none."""
    if not residuals:
        return None
    if composition.blend is None:
        return fitter.with_biases(residuals[0])
    support = Support.of(fitter.train.user_ids, fitter.train.movie_ids)
    return fitter.with_biases(blended(residuals, composition.blend, support))


def _recipe(fitter: Fitter, composition: Composition) -> Recipe:
    blend = composition.blend
    newest = fitter.train.timestamps.max()
    return Recipe(
        ranking=tuple(fitter.member(part.params) for part in composition.ranking),
        rating=tuple(fitter.member(part.params) for part in composition.rating),
        blend=blend and (tuple(blend.levels), tuple(blend.slopes), tuple(blend.shift)),
        newest_ms=0 if np.isnat(newest) else int(newest.astype("datetime64[ms]").astype(np.int64)),
    )


def _choose_ranking(
    evaluator: Evaluator, parts: list[Part], models: list[Factors], n_members: int
) -> tuple[list[Part], str]:
    """Parts by nDCG on the fold; the search's winner comes first."""
    metric = f"ndcg_at_{evaluator.k}"

    def value(chosen: tuple[int, ...]) -> float:
        return evaluator.evaluate_ranking(weighted_sum([models[at] for at in chosen]))[0][metric]

    members, together = grow(value, len(parts), n_members, _LEAST_NDCG, start=(0,))
    if len(members) == 1:
        return parts[:1], f"The ranking model is its best candidate: no other adds to its {metric} of {together:.4f}."
    return [parts[at] for at in members], (
        f"The ranking model is the sum of {len(members)} fits: on a fold {metric} is {together:.4f}, "
        f"{value((0,)):.4f} by the best candidate alone."
    )


def _choose_rating(
    fold: Fold, parts: list[Part], models: list[Factors], n_members: int
) -> tuple[list[Part], Blend | None, str]:
    """Parts by RMSE on the fold, weights fitted on other ratings of it; the search's winner comes first."""
    fitter, evaluator, test = fold.fitter, fold.evaluator, fold.evaluator.test
    if len(test) < _LEAST_RATINGS:
        few = f"{len(test):,} ratings of a fold are too few to weigh others"
        return parts[:1], None, f"The rating model is its best candidate: {few}."
    base = fitter.biases.predict(test.user_ids, test.movie_ids)
    residuals, low, high = (
        test.ratings - base,
        float(evaluator.train.ratings.min()),
        float(evaluator.train.ratings.max()),
    )
    scores = np.column_stack([model.dot(test.user_ids, test.movie_ids) for model in models])
    support = Support.of(evaluator.train.user_ids, evaluator.train.movie_ids)

    def columns(chosen: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return blend_columns(scores[:, list(chosen)], support, test.user_ids, test.movie_ids)

    def value(chosen: tuple[int, ...]) -> float:
        return -rmse(np.clip(base + crossfitted(columns(chosen), residuals), low, high), test.ratings)

    alone = evaluator.evaluate_rating(fitter.with_biases(models[0]))["rmse"]
    members, gained = grow(value, len(parts), n_members, _LEAST_RMSE, start=(0,), repeats=False)
    if -gained > alone - _LEAST_RMSE:
        return parts[:1], None, f"The rating model is its best candidate: no other adds to its RMSE of {alone:.4f}."
    return (
        [parts[at] for at in members],
        fit_blend(columns(members), residuals),
        f"The rating model is a blend of {len(members)} fit{'s' * (len(members) > 1)}: on a fold RMSE is "
        f"{-gained:.4f}, {alone:.4f} by the best candidate alone.",
    )
