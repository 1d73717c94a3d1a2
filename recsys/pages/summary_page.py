"""The summary that ends a run at the terminal: what was learned, what a user gets, and where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

# Names as in the evaluation of the run that made the champion: it was the challenger then.
_MODELS = {
    "challenger": "champion",
    "champion": "its predecessor",
    "popularity": "popularity",
    "ease": "EASE",
    "svd": "SVD",
    "item_knn": "item-kNN",
    "pca_cosine": "PCA, cosine",
    "svd_cosine": "SVD, cosine",
    "bias_order": "best rated",
    "random": "random",
    "biases": "biases alone",
}
_METRICS = {
    "ndcg_at_{k}": "nDCG",
    "map_at_{k}": "MAP",
    "precision_at_{k}": "precision",
    "recall_at_{k}": "recall",
    "hit_rate_at_{k}": "hit rate",
    "coverage": "coverage",
    "rmse": "RMSE",
}


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShownUser:
    """A user's list.

    Attributes:
        user_id: what the source calls the user.
        rated_high: ``{title, rating}`` of movies, the highest ratings first; None where the snapshot was removed.
        listed: ``{rank, title, score, predicted_rating}`` of movies, best first.
    """

    user_id: str
    rated_high: Sequence[Row] | None
    listed: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Summary:
    """The state of the published tables.

    Attributes:
        number: of the current release.
        version_id: of its tables.
        snapshot_id: that they were made from.
        model_version: that they were made with.
        dataset: of the snapshot; empty where it is not known any more.
        is_invented: whether the snapshot is synthetic.
        has_ratings: whether it has ratings; else it has counts.
        n_rows: of each table.
        evaluation: the document of the model's evaluation; None where it was removed.
        places: where things are, by what they are.
        posters: the manifest of posters; None before the first.
        gone: a sentence on each thing that was removed since.
    """

    number: int
    version_id: str
    snapshot_id: str
    model_version: str
    dataset: str
    is_invented: bool
    has_ratings: bool
    n_rows: Mapping[str, int]
    evaluation: Row | None
    user: ShownUser
    places: Mapping[str, str]
    posters: Row | None
    gone: Sequence[str]


def print_summary(summary: Summary, console: Console) -> None:
    """Print what `recsys.webapp.summary.summary` collected."""
    dataset = summary.dataset or "a data set that is not known any more"
    console.rule(f"[bold]{escape(summary.model_version)} on {escape(dataset)}")
    if summary.is_invented:
        console.print("[bold yellow]These movies, users and ratings are invented: the data comes from a generator.")
    for sentence in summary.gone:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if summary.evaluation is None:
        console.print("How good the model is, is not known here any more: its evaluation was removed from the store.")
    else:
        _print_metrics(summary.evaluation, console)
    if not summary.has_ratings:
        console.print("These data have no ratings: the model orders lists by counts, and predicts no rating.")
    _print_user(summary.user, console, has_ratings=summary.has_ratings)
    if summary.posters:
        console.print(posters_line(summary.posters), markup=False, highlight=False, soft_wrap=True)
    console.print("Where things are", style="italic")
    for name, place in summary.places.items():
        console.print(f"  {name:<18}{place}", markup=False, highlight=False, soft_wrap=True)
    rows = ", ".join(f"{count:,} {table}" for table, count in summary.n_rows.items())
    console.print(f"Release {summary.number}: {rows}.")


def print_steps(steps: list[tuple[str, float]], console: Console) -> None:
    """Print the seconds of each step: ``(name, seconds)`` in the order they ran."""
    table = Table("step", "seconds", title="Time of each step", title_justify="left")
    table.columns[1].justify = "right"
    for name, seconds in steps:
        table.add_row(name, f"{seconds:.1f}")
    table.add_row("all tasks", f"{sum(seconds for _, seconds in steps):.1f}", style="bold")
    console.print(table)


def posters_line(manifest: Row) -> str:
    """How many posters there are, of which kind, in a sentence.

    >>> posters_line({"counts": {"stored": 1000, "missing": 0, "failed": 3}, "n_drawn": 988})
    'Posters: 12 real, 988 drawn as placeholders (the manifest says why), 3 failed.'
    """
    n_stored, n_failed, n_drawn = manifest["counts"]["stored"], manifest["counts"]["failed"], manifest["n_drawn"]
    drawn = f"{n_drawn:,} drawn as placeholders" + (" (the manifest says why)" if n_drawn else "")
    return f"Posters: {n_stored - n_drawn:,} real, {drawn}, {n_failed:,} failed."


def _print_metrics(evaluation: Row, console: Console) -> None:
    k, models = evaluation["k"], evaluation["models"]
    title = f"Holdout: {evaluation['n_users']:,} users, every unseen movie ranked, lists of {k}"
    metrics = {
        metric: shown
        for metric, shown in _METRICS.items()
        if metric != "rmse" or any(metric in values for values in models.values())
    }
    table = Table("model", *metrics.values(), title=title, title_justify="left")
    for name, shown in _MODELS.items():
        if name in models:
            values = [models[name].get(metric.format(k=k)) for metric in metrics]
            table.add_row(shown, *("–" if value is None else f"{value:.4f}" for value in values))
    console.print(table)
    console.print(f"Gate: {evaluation['reason']}.", markup=False, highlight=False, soft_wrap=True)


def _print_user(user: ShownUser, console: Console, *, has_ratings: bool) -> None:
    if user.rated_high is not None:
        unit, had = ("rating", "rated high") if has_ratings else ("times", "had most often")
        liked = Table(unit, "title", title=f"User {user.user_id} {had}", title_justify="left")
        for row in user.rated_high:
            liked.add_row(f"{row['rating']:{'.1f' if has_ratings else 'g'}}", escape(row["title"]))
        console.print(liked)
    table = Table(
        "rank",
        "title",
        "score",
        *(["predicted rating"] if has_ratings else []),
        title=f"Recommended to user {user.user_id}",
        title_justify="left",
    )
    for row in user.listed:
        stars = "–" if row["predicted_rating"] is None else f"{row['predicted_rating']:.2f}"
        table.add_row(str(row["rank"]), escape(row["title"]), f"{row['score']:.3f}", *([stars] if has_ratings else []))
    console.print(table)
