"""What an iteration of ALS costs: ``python -m benchmarks.als [--ratings 6114000] [--rank 64]``.

The compiled engine, MLlib on the system's BLAS and on the JVM's own, and the library implicit, on the same invented
ratings, one after the other, each in a process of its own. An iteration costs (fit(n) - fit(1)) / (n - 1), which
leaves out reading, sorting and compiling; processor seconds of all processes together, medians of the repeats. Before
anything is timed, ours and MLlib's predictions from the same initial factors are compared on ratings held out. The
objective of implicit is not MLlib's: its ridge does not grow with the number of ratings. Its cost is comparable.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.measuring import Cost, measure, report, spent_s
from recsys.compiled.compiled_als import State, fit, iterate, to_factors
from recsys.compiled.interactions import Interactions
from recsys.config import Settings
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.ingest.synthetic.taste import draw_ratings, invent_world
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.models.biases import fit_biases
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel

LIMITS = {"rmse": 0.002, "ndcg_at_10": 0.005}
_RATINGS_PER_USER = 150  # as in MovieLens 25M
_EXAMINED = 20_000  # ratings held out
Times = dict[str, Any]


def invent(path: Path, n_ratings: int, n_movies: int) -> None:
    """Write ratings of MovieLens 25M's shape: the columns and which of them are held out."""
    rng = np.random.default_rng(0)
    blocks = list(draw_ratings(invent_world(n_ratings // _RATINGS_PER_USER, n_movies, n_ratings, rng), rng))
    users, movies, half_stars = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("users", "movies", "half_stars")
    )
    held_out = np.zeros(len(users), bool)
    held_out[rng.choice(len(users), min(_EXAMINED, len(users) // 10), replace=False)] = True
    np.savez(path, users.astype(np.int32), movies.astype(np.int32), (half_stars / 2).astype(np.float32), held_out)


def read(path: Path) -> tuple[Ratings, Ratings]:
    """Train and held-out ratings."""
    with np.load(path) as columns:
        times = np.zeros(len(columns["arr_0"]), "datetime64[ms]")  # nothing here looks at them
        ratings, held_out = Ratings(*(columns[f"arr_{n}"] for n in range(3)), times), columns["arr_3"]
    return ratings.where(~held_out), ratings.where(held_out)


def labels_of(train: Ratings, params: AlsParams) -> NDArray[np.float32]:
    """Stars for the implicit objective, what the biases leave over for the explicit one."""
    if params.alpha is not None:
        return train.stars
    biases = fit_biases(train.user_ids, train.movie_ids, train.stars)
    return train.stars - biases.predict(train.user_ids, train.movie_ids)


def iteration(fit_n: Callable[[int], object], n: int, repeats: int) -> Times:
    """Seconds of one iteration, by processor and by clock."""

    def seconds(n_iterations: int) -> NDArray[np.float64]:
        began = np.array([spent_s(), time.perf_counter()])
        fit_n(n_iterations)
        return np.array([spent_s(), time.perf_counter()]) - began

    found = [(seconds(n) - seconds(1)) / (n - 1) for _ in range(repeats)]
    cpu_s, wall_s = (median(float(each[i]) for each in found) for i in (0, 1))
    return {"cpu_s": cpu_s, "wall_s": wall_s}


def compiled(path: Path, params: AlsParams, repeats: int) -> Times:
    train, _ = read(path)
    data = Interactions.of(train.user_ids, train.movie_ids)
    labels = data.arranged(labels_of(train, params))

    def fit_n(n: int) -> Factors:
        return fit(data, labels, params.model_copy(update={"max_iter": n}))

    fit_n(1)  # compiles
    return iteration(fit_n, params.max_iter, repeats)


def mllib(path: Path, params: AlsParams, repeats: int, is_native: bool) -> Times:
    from recsys.spark.session import spark_session

    if not is_native:
        os.environ["JDK_JAVA_OPTIONS"] = "-Ddev.ludovic.netlib.blas.nativeLib=none.so"
    train, test = read(path)
    labels = labels_of(train, params)
    settings = Settings(state_dir=path.parent, spark_driver_memory="4g")
    with spark_session(settings, "benchmark of ALS", n_partitions=4) as spark:
        frame = training_frame(spark, train.user_ids, train.movie_ids, labels, 4)

        def fit_n(n: int) -> Factors:
            return fit_als(frame, params.model_copy(update={"max_iter": n}), 4)

        apart = differences(train, test, labels, params, fit_n(0), fit_n(params.max_iter))
        check(apart)
        return {**iteration(fit_n, params.max_iter, repeats), "blas": _blas(spark), "apart": apart}


def differences(
    train: Ratings, test: Ratings, labels: NDArray[np.float32], params: AlsParams, initial: Factors, theirs: Factors
) -> dict[str, float]:
    """By how much the held-out RMSE or nDCG@10 of ours, from MLlib's initial factors, differs from MLlib's own."""
    data = Interactions.of(train.user_ids, train.movie_ids)
    begun = State(initial.user_factors, initial.movie_factors, 0)
    ours = to_factors(data, iterate(data, data.arranged(labels), params, begun, params.max_iter))
    if params.alpha is not None:
        some = test.where(np.isin(test.user_ids, np.unique(test.user_ids)[:2_000]))
        evaluator, name = Evaluator(train, some, 10, 4.0), "ndcg_at_10"
        values = [evaluator.evaluate_ranking(factors)[0][name] for factors in (ours, theirs)]
    else:
        biases = fit_biases(train.user_ids, train.movie_ids, train.stars)
        evaluator, name = Evaluator(train, test, 10, 4.0), "rmse"
        values = [evaluator.evaluate_rating(RatingModel(biases, factors, 0.5, 5.0))[name] for factors in (ours, theirs)]
    return {name: abs(values[0] - values[1])}


def check(apart: dict[str, float]) -> None:
    """Refuse to time engines that do not agree.

    Raises:
        RuntimeError: a metric differs by more than its limit, or is not a number.
    """
    for name, difference in apart.items():
        if not difference <= LIMITS[name]:
            raise RuntimeError(f"{name} is {difference:.4f} apart, {LIMITS[name]} allowed. Nothing was timed.")


def peer(path: Path, params: AlsParams, repeats: int, is_cg: bool) -> Times:
    """The library implicit, by Cholesky as ours or by three steps of conjugate gradients."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    train, _ = read(path)
    matrix = csr_matrix((train.stars, (train.user_ids, train.movie_ids)))

    def fit_n(n: int) -> None:
        model = AlternatingLeastSquares(
            params.rank, params.reg_param, params.alpha, use_cg=is_cg, iterations=n, num_threads=1, random_state=1
        )
        model.fit(matrix, show_progress=False)

    fit_n(1)
    return iteration(fit_n, params.max_iter, repeats)


def main(
    ratings: Annotated[int, typer.Option(help="Ratings to invent, 150 a user.")] = 6_114_000,
    movies: Annotated[int, typer.Option(help="Movies to invent.")] = 59_047,
    rank: int = 64,
    iterations: Annotated[int, typer.Option(help="Of the longer fit, at least 2.")] = 3,
    repeats: int = 3,
) -> None:
    """Check that the engines agree, then measure an iteration of each."""
    explicit = AlsParams(rank=rank, reg_param=0.1, max_iter=iterations)
    implicit = explicit.model_copy(update={"alpha": 1.0})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.npz"
        invent(path, ratings, movies)
        costs = {  # MLlib first: it checks that ours agree with it
            "mllib_native_explicit": measure(mllib, path, explicit, repeats, True),
            "mllib_native_implicit": measure(mllib, path, implicit, repeats, True),
            "mllib_vector_explicit": measure(mllib, path, explicit, repeats, False),
            "ours_explicit": measure(compiled, path, explicit, repeats),
            "ours_implicit": measure(compiled, path, implicit, repeats),
            "implicit_cholesky": measure(peer, path, implicit, repeats, False),
            "implicit_cg": measure(peer, path, implicit, repeats, True),
        }
    name = f"an iteration of ALS on {ratings:,} ratings at rank {rank}"
    report(name, ["engine", "CPU s", "wall s", "peak GB", "note"], rows(costs), document(costs, ratings, rank))


def rows(costs: dict[str, Cost]) -> list[list[str]]:
    found = []
    for name, cost in costs.items():
        apart = ", ".join(f"{metric} {value:.1e} from ours" for metric, value in cost.result.get("apart", {}).items())
        note = "; ".join(filter(None, [cost.result.get("blas", ""), apart]))
        cpu_s, wall_s = cost.result["cpu_s"], cost.result["wall_s"]
        found.append([name, f"{cpu_s:.2f}", f"{wall_s:.2f}", f"{cost.peak_bytes / 1e9:.1f}", note])
    return found


def document(costs: dict[str, Cost], n_ratings: int, rank: int) -> dict[str, Any]:
    cpu_s = {name: cost.result["cpu_s"] for name, cost in costs.items()}
    ours, ours_implicit = cpu_s["ours_explicit"], cpu_s["ours_implicit"]
    return {
        "n_ratings": n_ratings,
        "rank": rank,
        "cpu_s": {name: round(value, 3) for name, value in cpu_s.items()},
        "wall_s": {name: round(cost.result["wall_s"], 3) for name, cost in costs.items()},
        "peak_gb": {name: round(cost.peak_bytes / 1e9, 2) for name, cost in costs.items()},
        "blas": {name: cost.result["blas"] for name, cost in costs.items() if "blas" in cost.result},
        "apart": {name: cost.result["apart"] for name, cost in costs.items() if "apart" in cost.result},
        "speedup_vs_mllib_native": round(cpu_s["mllib_native_explicit"] / ours, 2),
        "speedup_vs_mllib_vector": round(cpu_s["mllib_vector_explicit"] / ours, 2),
        "speedup_vs_mllib_native_implicit": round(cpu_s["mllib_native_implicit"] / ours_implicit, 2),
        "speedup_vs_implicit_cholesky": round(cpu_s["implicit_cholesky"] / ours_implicit, 2),
        "speedup_vs_implicit_cg": round(cpu_s["implicit_cg"] / ours_implicit, 2),
    }


def _blas(spark: Any) -> str:
    """The class that MLlib takes for its BLAS."""
    from py4j.protocol import Py4JError

    packages = spark._jvm.dev.ludovic.netlib.blas
    try:
        found = packages.NativeBLAS.getInstance()
    except Py4JError:
        found = packages.JavaBLAS.getInstance()
    return str(found.getClass().getSimpleName())


if __name__ == "__main__":
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    typer.run(main)
