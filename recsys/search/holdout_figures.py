"""The pictures of the holdout: list quality by how active a user is, and whether predicted stars mean what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.pages import ACCENT, ACCENT_2
from recsys.pages.charts import Panel, specification

_LOOKS = {
    "challenger": ("this run's model", ACCENT),
    "popularity": ("popularity", ACCENT_2),
    "champion": ("champion before it", "#8a94a0"),
}


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
        xaxis={"title": {"text": "predicted stars"}},
        yaxis={"title": {"text": "actual stars"}},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"t": 36},
    )
    worst = max(rows, key=lambda row: abs(row["predicted"] - row["actual"]))
    return Panel(
        name="calibration",
        title="Calibration of predicted stars",
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
