"""The pictures of the holdout: list quality by how active a user is, and whether predicted stars mean what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.pages.charts import Panel, specification
from recsys.pages.rendering import ACCENT, ACCENT_2

_LOOKS = {
    "challenger": ("this run's model", ACCENT),
    "popularity": ("popularity", ACCENT_2),
    "champion": ("champion before it", "#8a94a0"),
}


_NAMES = {
    "challenger": "this run's model",
    "champion": "champion before it",
    "bias_order": "best rated",
    "svd": "SVD",
    "svd_cosine": "SVD, cosine",
    "pca_cosine": "PCA, cosine",
    "item_knn": "item-kNN",
    "ease": "EASE",
}
_LIST_METRICS = ("map", "precision", "recall", "mrr", "hit_rate")
_LIST_TRAITS = ("coverage", "gini", "novelty", "diversity", "popularity_lift")


def models(evaluation: Mapping[str, Any]) -> Panel:
    """Every model's lists on the holdout, best first, with intervals, and how sure it is that this run's is better.

    Args:
        evaluation: of the holdout exam, with `models`, `intervals`, `comparisons`, `k` and `confidence`.
    """
    import plotly.graph_objects as go

    k, confidence, intervals = evaluation["k"], evaluation["confidence"], evaluation["intervals"]
    metric = f"ndcg_at_{k}"
    order = sorted(intervals, key=lambda name: intervals[name]["mean"], reverse=True)
    names = [_NAMES.get(name, name) for name in order]
    means = [intervals[name]["mean"] for name in order]
    figure = go.Figure()
    figure.add_scatter(
        x=means[::-1],
        y=names[::-1],
        error_x={
            "symmetric": False,
            "array": [intervals[name]["high"] - intervals[name]["mean"] for name in reversed(order)],
            "arrayminus": [intervals[name]["mean"] - intervals[name]["low"] for name in reversed(order)],
        },
        mode="markers",
        marker={"size": 9, "color": [ACCENT if name == "challenger" else ACCENT_2 for name in reversed(order)]},
        hovertemplate=f"%{{y}}<br>{metric} %{{x:.4f}}<extra></extra>",
    )
    figure.update_layout(xaxis={"title": {"text": metric}, "rangemode": "tozero"}, yaxis={"automargin": True})
    best = next((name for name in order if name != "challenger"), None)
    return Panel(
        name="models",
        title=f"{metric} of every model",
        caption=f"Means over {intervals[order[0]]['n_users']:,} users with {confidence:.0%} intervals. "
        + (_ahead(best, evaluation["comparisons"][best]) if best else ""),
        spec=specification(figure),
        header=("model", metric, "this run ahead by", *_LIST_METRICS, *_LIST_TRAITS),
        rows=[_model_row(name, evaluation) for name in order],
        is_wide=True,
    )


def _ahead(name: str, comparison: Mapping[str, float]) -> str:
    return (
        f"This run's model is {comparison['gain']:+.4f} ahead of {_NAMES.get(name, name)}, the best of the others, on "
        f"the same users: from {comparison['low']:+.4f} to {comparison['high']:+.4f} (p = {comparison['p_value']:.4f})."
    )


def _model_row(name: str, evaluation: Mapping[str, Any]) -> tuple[str, ...]:
    interval, values = evaluation["intervals"][name], evaluation["models"][name]
    comparison, suffix = evaluation["comparisons"].get(name), f"_at_{evaluation['k']}"
    ahead = "–"
    if comparison is not None:
        ahead = "{gain:+.4f} ({low:+.4f} to {high:+.4f}), p {p_value:.4f}".format(**comparison)
    return (
        _NAMES.get(name, name),
        "{mean:.4f} ({low:.4f} to {high:.4f})".format(**interval),
        ahead,
        *(f"{values[each + suffix]:.4f}" for each in _LIST_METRICS),
        *(f"{values[each]:.3f}" for each in _LIST_TRAITS),
    )


def by_activity(rows: Sequence[Mapping[str, Any]], metric: str, confidence: float) -> Panel:
    """A metric by the number of ratings a user has given.

    Args:
        rows: bins in ascending order: ``{low, high, n_users, <model>: [mean, low, high], ...}``.
        metric: its name.
        confidence: of the intervals.
    """
    import plotly.graph_objects as go

    labels = [f"{row['low']}–{row['high']}" if row["low"] < row["high"] else f"{row['low']}" for row in rows]
    models = [model for model in _LOOKS if model in rows[0]]
    figure = go.Figure()
    for model in models:
        title, color = _LOOKS[model]
        means = [row[model][0] for row in rows]
        figure.add_scatter(
            x=labels,
            y=means,
            error_y={
                "symmetric": False,
                "array": [row[model][2] - row[model][0] for row in rows],
                "arrayminus": [row[model][0] - row[model][1] for row in rows],
            },
            mode="lines+markers",
            name=title,
            line={"color": color},
            marker={"size": 9},
            hovertemplate=f"%{{x}} ratings<br>{metric} %{{y:.4f}}<extra>{title}</extra>",
        )
    figure.update_layout(
        xaxis={"title": {"text": "ratings of the user in training"}, "type": "category"},
        yaxis={"title": {"text": metric}, "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"t": 36},
    )
    ahead = [row["challenger"][0] - row["popularity"][0] for row in rows]
    least = ahead.index(min(ahead))
    return Panel(
        name="by_activity",
        title=f"{metric} by user activity",
        caption=f"Users in {len(rows)} groups by how many ratings they gave, with {confidence:.0%} intervals. "
        f"Least ahead of popularity at {labels[least]} ratings: {ahead[least]:+.4f}.",
        spec=specification(figure),
        header=("ratings", "users", *(_LOOKS[model][0] for model in models)),
        rows=[
            (label, f"{row['n_users']:,}", *("{:.4f} ({:.4f} to {:.4f})".format(*row[model]) for model in models))
            for label, row in zip(labels, rows, strict=True)
        ],
        is_wide=True,
    )


def calibration(rows: Sequence[Mapping[str, float]], confidence: float) -> Panel:
    """Mean actual stars against mean predicted stars.

    Args:
        rows: bins by ascending prediction: ``{n_ratings, predicted, actual, low, high}``, the last two of `actual`.
        confidence: of the intervals.
    """
    import plotly.graph_objects as go

    predicted, actual = [row["predicted"] for row in rows], [row["actual"] for row in rows]
    ends = [min(predicted + actual), max(predicted + actual)]
    figure = go.Figure()
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="perfect", line={"color": ACCENT_2, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=predicted,
        y=actual,
        error_y={
            "symmetric": False,
            "array": [row["high"] - row["actual"] for row in rows],
            "arrayminus": [row["actual"] - row["low"] for row in rows],
        },
        mode="markers",
        name="this run's model",
        marker={"color": ACCENT, "size": 9},
        hovertemplate="predicted %{x:.2f}<br>actual %{y:.2f}<extra></extra>",
    )
    figure.update_layout(
        xaxis={"title": {"text": "predicted rating"}},
        yaxis={"title": {"text": "actual rating"}},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"t": 36},
    )
    worst = max(rows, key=lambda row: abs(row["predicted"] - row["actual"]))
    return Panel(
        name="calibration",
        title="Calibration of predicted ratings",
        caption=f"Held-out ratings in {len(rows)} groups by prediction, with {confidence:.0%} intervals of their mean. "
        f"Furthest off: {worst['predicted']:.2f} predicted where {worst['actual']:.2f} were given.",
        spec=specification(figure),
        header=("predicted", "actual", "interval", "ratings"),
        rows=[
            (
                f"{row['predicted']:.2f}",
                f"{row['actual']:.2f}",
                f"{row['low']:.2f} to {row['high']:.2f}",
                f"{row['n_ratings']:,.0f}",
            )
            for row in rows
        ],
        is_wide=True,
    )
