"""The summary that ends a run at the terminal: what was learned, what a user gets, and where to look."""

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


def print_summary(found: dict[str, Any], console: Console) -> None:
    """Print what `recsys.webapp.summary.summary` collected."""
    lineage = found["lineage"]
    of_snapshot = found["snapshot"].dataset if found["snapshot"] else "a data set that is not known any more"
    dataset = lineage.get("dataset") or of_snapshot
    console.rule(f"[bold]{escape(lineage['model_version'])} on {escape(dataset)}")
    if lineage.get("is_invented"):
        console.print("[bold yellow]These movies, users and ratings are invented: the data comes from a generator.")
    for sentence in found["gone"]:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if found["evaluation"] is None:
        console.print("How good the model is, is not known here any more: its evaluation was removed from the store.")
    else:
        _print_metrics(found["evaluation"], console)
    if not found["has_ratings"]:
        console.print("These data have no ratings: the model orders lists by counts, and predicts no rating.")
    _print_user(found["user"], console, has_ratings=found["has_ratings"])
    if found["posters"]:
        console.print(posters_line(found["posters"]), markup=False, highlight=False, soft_wrap=True)
    console.print("Where things are", style="italic")
    for name, place in found["places"].items():
        console.print(f"  {name:<18}{place}", markup=False, highlight=False, soft_wrap=True)
    rows = ", ".join(f"{count:,} {table}" for table, count in found["n_rows"].items())
    console.print(f"Release {found['release']['number']}: {rows}.")


def print_steps(steps: list[tuple[str, float]], console: Console) -> None:
    """Print the seconds of each step: ``(name, seconds)`` in the order they ran."""
    table = Table("step", "seconds", title="Time of each step", title_justify="left")
    table.columns[1].justify = "right"
    for name, seconds in steps:
        table.add_row(name, f"{seconds:.1f}")
    table.add_row("all tasks", f"{sum(seconds for _, seconds in steps):.1f}", style="bold")
    console.print(table)


def posters_line(manifest: dict[str, Any]) -> str:
    """How many posters there are, of which kind, in a sentence.

    >>> posters_line({"counts": {"stored": 1000, "missing": 0, "failed": 3}, "n_drawn": 988})
    'Posters: 12 real, 988 drawn as placeholders (the manifest says why), 3 failed.'
    """
    n_stored, n_failed, n_drawn = manifest["counts"]["stored"], manifest["counts"]["failed"], manifest["n_drawn"]
    drawn = f"{n_drawn:,} drawn as placeholders" + (" (the manifest says why)" if n_drawn else "")
    return f"Posters: {n_stored - n_drawn:,} real, {drawn}, {n_failed:,} failed."


def _print_metrics(evaluation: dict[str, Any], console: Console) -> None:
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


def _print_user(user: dict[str, Any], console: Console, *, has_ratings: bool) -> None:
    if user["rated_high"] is not None:
        unit, had = ("rating", "rated high") if has_ratings else ("times", "had most often")
        liked = Table(unit, "title", title=f"User {user['user_id']} {had}", title_justify="left")
        for row in user["rated_high"]:
            liked.add_row(f"{row['rating']:{'.1f' if has_ratings else 'g'}}", escape(row["title"]))
        console.print(liked)
    table = Table(
        "rank",
        "title",
        "score",
        *(["predicted rating"] if has_ratings else []),
        title=f"Recommended to user {user['user_id']}",
        title_justify="left",
    )
    for row in user["list"]:
        stars = "–" if row["predicted_rating"] is None else f"{row['predicted_rating']:.2f}"
        table.add_row(str(row["rank"]), escape(row["title"]), f"{row['score']:.3f}", *([stars] if has_ratings else []))
    console.print(table)
