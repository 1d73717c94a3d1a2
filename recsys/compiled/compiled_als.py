"""ALS in compiled code: MLlib's objectives, one thread a fit, and fits that go on from where they stopped.

For searches, where the same ratings are fitted many times and MLlib costs a multiple of the same mathematics and
cannot resume. Objective, scaling of the ridge and order of the updates are MLlib's (`recsys.models.als`), so what is
found here holds there. What does not depend on a candidate is prepared once: `Interactions` per set of ratings,
`Labels` per scheme. Fits share both and run side by side in threads, without the interpreter's lock.
"""

import contextlib
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from cachetools import LRUCache

from recsys.compiled import ridge_kernels
from recsys.compiled.interactions import Interactions, Labels, Side
from recsys.errors import ConfigError, DataError
from recsys.models.als import AlsParams
from recsys.models.factors import Factors, Floats


@dataclass(frozen=True)
class State:
    """A fit so far. Iterating returns a new state and leaves this one as it was.

    Attributes:
        user_factors: float32; shape (n_users, rank).
        movie_factors: float32, zeros before the first iteration; shape (n_movies, rank).
        n_iterations: how many led here.
    """

    user_factors: Floats
    movie_factors: Floats
    n_iterations: int

    @property
    def size_bytes(self) -> int:
        return self.user_factors.nbytes + self.movie_factors.nbytes


class States(Protocol):
    """States of fits on one set of ratings, by the name of the labels and the parameters without `max_iter`.

    Whatever was put may be gone or older when it is asked for: that decides the cost of a fit alone.
    """

    def get(self, scheme: str, params: AlsParams) -> State | None: ...

    def put(self, scheme: str, params: AlsParams, state: State) -> None: ...


class StatesInMemory:
    """The longest state of each fit, for the threads of this process.

    Args:
        limit_bytes: of all states kept together; beyond it the one not used for longest goes first.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._states: LRUCache[tuple[str, AlsParams], State] = LRUCache(limit_bytes, lambda state: state.size_bytes)
        self._lock = threading.Lock()

    def get(self, scheme: str, params: AlsParams) -> State | None:
        with self._lock:
            return self._states.get((scheme, params))

    def put(self, scheme: str, params: AlsParams, state: State) -> None:
        with self._lock, contextlib.suppress(ValueError):  # a state larger than the limit is not kept
            before = self._states.get((scheme, params), state)
            self._states[scheme, params] = max(before, state, key=lambda each: each.n_iterations)


class Fits:
    """Fits of many candidates on one set of ratings; a longer fit goes on from a shorter one of the same candidate.

    What is kept decides the cost alone, never the answer: a state that had to go is fitted again, to the same bits.
    May be called from several threads.

    Args:
        data: what is fitted.
        states: where states are kept between fits.
    """

    def __init__(self, data: Interactions, states: States) -> None:
        self._data, self._states = data, states

    def fit(self, scheme: str, labels: Labels, params: AlsParams) -> Factors:
        """Factors after `max_iter` iterations.

        Args:
            scheme: a name of the labels, one and the same for the same labels.
            labels: `arranged` labels.
            params: errors as of `iterate`.
        """
        any_length = params.model_copy(update={"max_iter": 0})
        known = self._states.get(scheme, any_length)
        if known is None or known.n_iterations > params.max_iter:
            known = start(self._data, params)
        state = iterate(self._data, labels, params, known, params.max_iter - known.n_iterations)
        self._states.put(scheme, any_length, state)
        return to_factors(self._data, state)


def start(data: Interactions, params: AlsParams) -> State:
    """Users' factors drawn as MLlib draws them, uniformly from the unit sphere; movies' follow from them."""
    drawn = np.random.default_rng(params.seed).standard_normal((len(data.users.ids), params.rank), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return State(drawn, np.zeros((len(data.movies.ids), params.rank), np.float32), 0)


def iterate(data: Interactions, labels: Labels, params: AlsParams, state: State, n_more: int) -> State:
    """Go on with a fit: movies from users, then users from movies, `n_more` times.

    Args:
        data: what is fitted.
        labels: `data.arranged` of the labels; with `alpha` set, preference strengths.
        params: those the fit was started with; `max_iter` is not looked at.
        state: from `start` or an earlier call.
        n_more: iterations; 3 and then 3 give what 6 give, to the last bit.

    Raises:
        ConfigError: `reg_param` is not above 0, or `alpha` is set and not above 0.
        DataError: the equations are too close to singular for float32: `reg_param` is far too small for the labels.
    """
    if params.reg_param <= 0 or (params.alpha is not None and params.alpha <= 0):
        raise ConfigError(
            f"reg_param {params.reg_param}, alpha {params.alpha}: both must be above 0. Nothing was fitted. "
            "Search positive values, or fit by MLlib."
        )
    users, movies = state.user_factors, state.movie_factors
    for _ in range(n_more):
        movies = _half_step(data.movies, labels.by_movie, users, params, "movie")
        users = _half_step(data.users, labels.by_user, movies, params, "user")
    return State(users, movies, state.n_iterations + n_more)


def fit(data: Interactions, labels: Labels, params: AlsParams) -> Factors:
    """All `max_iter` iterations at once; arguments and errors as of `iterate`."""
    return to_factors(data, iterate(data, labels, params, start(data, params), params.max_iter))


def to_factors(data: Interactions, state: State) -> Factors:
    return Factors(data.users.ids, state.user_factors, data.movies.ids, state.movie_factors)


def _half_step(side: Side, labels: Floats, factors: Floats, params: AlsParams, name: str) -> Floats:
    """New factors of one side. Implicit: in the basis where what all of the other side add is a diagonal."""
    found = np.empty((len(side.ids), params.rank), np.float32)
    if params.alpha is None:
        base, rotation = np.zeros(params.rank), None
    else:
        base, axes = np.linalg.eigh(ridge_kernels.gram(factors))
        base, rotation = np.maximum(base, 0), np.ascontiguousarray(axes, np.float32)
        factors = ridge_kernels.rotated(factors, rotation)
    alpha = -1.0 if params.alpha is None else params.alpha
    failed = ridge_kernels.solve_rows(side.indptr, side.others, labels, factors, base, params.reg_param, alpha, found)
    if failed >= 0:
        raise DataError(
            f"{name} {side.ids[failed]}: reg_param {params.reg_param} is too small for float32 to solve its equations. "
            "The fit was given up. Try a larger reg_param."
        )
    return found if rotation is None else ridge_kernels.rotated(found, np.ascontiguousarray(rotation.T))
