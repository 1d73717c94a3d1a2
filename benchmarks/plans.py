"""What is searched for each protocol, and how long: spaces, folds inside train, budgets.

Where the spaces lie was learned on validation folds of earlier searches over wider ones. Points are drawn in them; none
is put in by hand for the ranking models.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.fitting import Params
from benchmarks.protocols import PARTS, Part, latest_fifth_of_liked, shuffled_folds
from benchmarks.ranking import Budget, candidates
from recsys.errors import NotFoundError
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.evaluation.metrics import RANKING_METRICS, average_precision_at_k, average_precision_of_all_at_k
from recsys.search.space import LogUniform, Space

Parts = Callable[[Ratings], list[Part]]
K = 10
_CARVE_SEED = 1


def tenths(train: Ratings) -> list[Part]:
    """Ten random folds of train: with more held out, what suits a sparser matrix than the final one would win."""
    return shuffled_folds(train, 10, seed=_CARVE_SEED)


def two_periods(train: Ratings) -> list[Part]:
    """The latest fifth of train, as the test is the latest of all, and the latest fifth of what comes before that.

    The second is shorter of ratings; together they speak of twice as many users.
    """
    [late] = latest_fifth_of_liked(train)
    [early] = latest_fifth_of_liked(train.where(late.train))
    spread = Part(np.zeros_like(late.train), np.zeros_like(late.train))
    spread.train[late.train], spread.test[late.train] = early
    return [late, spread]


@dataclass(frozen=True)
class RatingPlan:
    """Points tried for the rating model: known good ones, and more drawn from the spaces."""

    explicit: list[Params]
    explicit_space: Space
    implicit: list[Params]
    implicit_space: Space
    n_explicit: int
    n_implicit: int
    n_carves: int
    n_members: int

    def points(self) -> list[Params]:
        """Explicit points, then implicit ones."""
        explicit = candidates((), self.explicit_space, self.n_explicit, self.explicit)
        flavours = ("centred", "squared", "liked", "all")
        return explicit + candidates(flavours, self.implicit_space, self.n_implicit, self.implicit)


@dataclass(frozen=True)
class Plan:
    """A protocol's split, its questions and its searches; a search that is None is not made.

    `is_map_of_all`: MAP divides by all relevant movies, not by at most k.
    """

    parts: Parts
    relevant_rating: float = 0.0
    is_map_of_all: bool = False
    carve: Parts = tenths
    flavours: tuple[str, ...] = ()
    ranking_space: Space = field(default_factory=dict)
    n_folds: int = 4
    n_baseline_folds: int = 2
    budget: Budget | None = None
    rating: RatingPlan | None = None
    max_iter: int = 12

    def evaluator(self, ratings: Ratings, part: Part) -> Evaluator:
        """What is asked about one part; nothing about users without a training rating."""
        average_precision = average_precision_of_all_at_k if self.is_map_of_all else average_precision_at_k
        return Evaluator(
            ratings.where(part.train),
            ratings.where(part.test),
            K,
            self.relevant_rating,
            has_cold_users=False,
            ranking_metrics={**RANKING_METRICS, "map": average_precision},
        )

    def ranking_points(self, n: int) -> list[Params]:
        """Points drawn from the space of the ranking model."""
        return candidates(self.flavours, self.ranking_space, n, [])


_FEW_RATINGS = RatingPlan(
    explicit=[{"rank": 64, "reg_param": 0.13}],
    explicit_space={"rank": LogUniform(12, 64), "reg_param": LogUniform(0.09, 0.2)},
    implicit=[
        {"flavour": "centred", "strength": 2.0, "rank": 32, "reg_param": 0.2},
        {"flavour": "squared", "strength": 3.0, "rank": 32, "reg_param": 0.3},
        {"flavour": "liked", "strength": 3.0, "rank": 32, "reg_param": 0.2},
        {"flavour": "all", "strength": 3.0, "rank": 16, "reg_param": 0.2},
    ],
    implicit_space={
        "strength": LogUniform(0.8, 10.0),
        "rank": LogUniform(10, 48),
        "reg_param": LogUniform(0.08, 0.5),
    },
    n_explicit=3,
    n_implicit=6,
    n_carves=2,
    n_members=5,
)
_MANY_RATINGS = replace(
    _FEW_RATINGS,
    explicit=[{"rank": 64, "reg_param": 0.085}, {"rank": 16, "reg_param": 0.075}],
    implicit=[
        {"flavour": "centred", "strength": 3.0, "rank": 32, "reg_param": 0.1},
        {"flavour": "liked", "strength": 3.0, "rank": 32, "reg_param": 0.1},
    ],
    n_explicit=2,
    n_implicit=2,
    n_carves=1,
    n_members=4,
)
_DENSE_SPACE: Space = {
    "strength": LogUniform(0.15, 4.0),
    "rank": LogUniform(16, 56),
    "reg_param": LogUniform(0.04, 0.4),
}
PLANS: dict[str, Plan] = {
    "recommenders-100k": Plan(
        PARTS["recommenders-100k"],
        is_map_of_all=True,
        flavours=("all", "root", "stars", "squared"),
        ranking_space=_DENSE_SPACE,
        budget=Budget(32, 2, 8, 8, 2),
        rating=_FEW_RATINGS,
    ),
    "replay-1m": Plan(
        PARTS["replay-1m"],
        carve=two_periods,
        flavours=("all", "stars", "squared"),
        # Ratings do not fade: test reaches two years beyond train, validation two weeks, so no half-life that could
        # be learned there would be one to rely on.
        ranking_space={
            "strength": LogUniform(0.07, 7.0),
            "rank": LogUniform(4, 24),
            "reg_param": LogUniform(0.005, 0.5),
        },
        n_folds=2,
        budget=Budget(60, 2, 16, 4, 2, n_start=4),
    ),
    "surprise-100k": Plan(PARTS["surprise-100k"], rating=_FEW_RATINGS),
    "surprise-1m": Plan(PARTS["surprise-1m"], rating=_MANY_RATINGS),
    "latest-small": Plan(
        PARTS["latest-small"],
        relevant_rating=4.0,
        flavours=("all", "stars", "squared", "centred", "liked"),
        ranking_space=_DENSE_SPACE | {"rank": LogUniform(8, 48)},
        n_baseline_folds=1,  # EASE inverts a matrix of 9,000 movies for each setting and fold
        budget=Budget(24, 2, 8, 8, 2),
        rating=_FEW_RATINGS,
    ),
}


def plan_of(protocol: str, *, is_quick: bool) -> Plan:
    """The plan of a protocol; quick: the same steps with as little as shows that they work.

    Raises:
        NotFoundError: there is no such protocol.
    """
    if protocol not in PLANS:
        raise NotFoundError(f"{protocol}: no such protocol. Nothing was run. Choose one of {', '.join(PLANS)}.")
    plan = PLANS[protocol]
    if not is_quick:
        return plan
    rating = plan.rating and replace(
        plan.rating,
        explicit=[{"rank": 2, "reg_param": 0.1}],
        implicit=[{"flavour": "centred", "strength": 2.0, "rank": 2, "reg_param": 0.1}],
        n_explicit=1,
        n_implicit=1,
        n_carves=1,
    )
    budget = plan.budget and Budget(n_points=2, n_first_folds=1, n_finalists=2, n_members=2, n_seeds=1)
    return replace(plan, n_folds=2, budget=budget, rating=rating, max_iter=2)
