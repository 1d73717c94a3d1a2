"""The pictures of the holdout: list quality by how active a user is, and how far predicted ratings are off."""

from collections.abc import Sequence

from recsys.pages.charts import Panel, specification
from recsys.pages.rendering import ACCENT, ACCENT_2
from recsys.training.training_documents import ActivityGroup, CalibrationGroup, Evaluation, Gain

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


def models(evaluation: Evaluation) -> Panel:
    """Every model's lists on the holdout, best first, with intervals, and how sure it is that this run's is better."""
    import plotly.graph_objects as go

    k, confidence, intervals = evaluation.k, evaluation.confidence, evaluation.intervals
    metric = f"ndcg_at_{k}"
    order = sorted(intervals, key=lambda name: intervals[name].mean, reverse=True)
    names = [_NAMES.get(name, name) for name in order]
    means = [intervals[name].mean for name in order]
    figure = go.Figure()
    figure.add_scatter(
        x=means[::-1],
        y=names[::-1],
        error_x={
            "symmetric": False,
            "array": [intervals[name].high - intervals[name].mean for name in reversed(order)],
            "arrayminus": [intervals[name].mean - intervals[name].low for name in reversed(order)],
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
        caption=f"Means over {intervals[order[0]].n_users:,} users with {confidence:.0%} intervals. "
        + (_ahead(best, evaluation.comparisons[best]) if best else ""),
        spec=specification(figure),
        header=("model", metric, "this run ahead by", *_LIST_METRICS, *_LIST_TRAITS),
        rows=[_model_row(name, evaluation) for name in order],
        is_wide=True,
    )


def _ahead(name: str, comparison: Gain) -> str:
    return (
        f"This run's model is {comparison.gain:+.4f} ahead of {_NAMES.get(name, name)}, the best of the others, on "
        f"the same users: from {comparison.low:+.4f} to {comparison.high:+.4f} (p = {comparison.p_value:.4f})."
    )


def _model_row(name: str, evaluation: Evaluation) -> tuple[str, ...]:
    interval, values = evaluation.intervals[name], evaluation.models[name]
    comparison, suffix = evaluation.comparisons.get(name), f"_at_{evaluation.k}"
    ahead = "–"
    if comparison is not None:
        ahead = f"{comparison.gain:+.4f} ({comparison.low:+.4f} to {comparison.high:+.4f}), p {comparison.p_value:.4f}"
    return (
        _NAMES.get(name, name),
        f"{interval.mean:.4f} ({interval.low:.4f} to {interval.high:.4f})",
        ahead,
        *(f"{values[each + suffix]:.4f}" for each in _LIST_METRICS),
        *(f"{values[each]:.3f}" for each in _LIST_TRAITS),
    )


def by_activity(groups: Sequence[ActivityGroup], metric: str, confidence: float) -> Panel:
    """A metric by the number of ratings a user has given.

    Args:
        groups: in ascending order.
        metric: its name.
        confidence: of the intervals.
    """
    import plotly.graph_objects as go

    labels = [f"{group.low}–{group.high}" if group.low < group.high else f"{group.low}" for group in groups]
    models = [model for model in _LOOKS if model in groups[0].models]
    figure = go.Figure()
    for model in models:
        title, color = _LOOKS[model]
        means, lows, highs = zip(*(group.models[model] for group in groups), strict=True)
        figure.add_scatter(
            x=labels,
            y=means,
            error_y={
                "symmetric": False,
                "array": [high - mean for mean, high in zip(means, highs, strict=True)],
                "arrayminus": [mean - low for mean, low in zip(means, lows, strict=True)],
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
    ahead = [group.models["challenger"][0] - group.models["popularity"][0] for group in groups]
    least = ahead.index(min(ahead))
    return Panel(
        name="by_activity",
        title=f"{metric} by user activity",
        caption=f"Users in {len(groups)} groups by how many ratings they gave, with {confidence:.0%} intervals. "
        f"Least ahead of popularity at {labels[least]} ratings: {ahead[least]:+.4f}.",
        spec=specification(figure),
        header=("ratings", "users", *(_LOOKS[model][0] for model in models)),
        rows=[
            (
                label,
                f"{group.n_users:,}",
                *("{:.4f} ({:.4f} to {:.4f})".format(*group.models[model]) for model in models),
            )
            for label, group in zip(labels, groups, strict=True)
        ],
        is_wide=True,
    )


def calibration(groups: Sequence[CalibrationGroup], confidence: float) -> Panel:
    """Mean actual ratings against mean predicted ratings.

    Args:
        groups: by ascending prediction.
        confidence: of the intervals.
    """
    import plotly.graph_objects as go

    predicted, actual = [group.predicted for group in groups], [group.actual for group in groups]
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
            "array": [group.high - group.actual for group in groups],
            "arrayminus": [group.actual - group.low for group in groups],
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
    worst = max(groups, key=lambda group: abs(group.predicted - group.actual))
    return Panel(
        name="calibration",
        title="Calibration of predicted ratings",
        caption=f"Held-out ratings in {len(groups)} groups by prediction, with {confidence:.0%} intervals of their "
        f"mean. Furthest off: {worst.predicted:.2f} predicted where {worst.actual:.2f} were given.",
        spec=specification(figure),
        header=("predicted", "actual", "interval", "ratings"),
        rows=[
            (
                f"{group.predicted:.2f}",
                f"{group.actual:.2f}",
                f"{group.low:.2f} to {group.high:.2f}",
                f"{group.n_ratings:,}",
            )
            for group in groups
        ],
        is_wide=True,
    )
