"""The pictures a person compares trials by: parallel coordinates, metric against each parameter, learning curve."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recsys.pages.charts import Panel, specification
from recsys.pages.rendering import ACCENT, ACCENT_2
from recsys.search.space import show, show_value
from recsys.search.trial import Objective, Trial

_MUTED = "#8a94a0"
_STAGES = {"full": "all folds", "rung": "lower rung", "pruned": "given up early"}
_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def trial_panels(model: str, trials: Sequence[Trial], objective: Objective) -> list[Panel]:
    """Parallel coordinates of all trials, and the metric against each parameter that varies.

    Args:
        model: begins the names of the panels.
        trials: at least one judged in full.
        objective: what was optimised.
    """
    names = list(trials[0].params)
    varied = [name for name in names if len({str(trial.params[name]) for trial in trials}) > 1]
    panels = [_parallel(model, trials, names, objective)] if len(trials) > 1 else []
    return panels + [_against(model, trials, name, objective) for name in varied]


def learning_curve(model: str, curve: Mapping[int, float], objective: Objective, chosen: Trial) -> Panel:
    """The choice's metric on one fold after fewer iterations.

    Args:
        model: begins the name of the panel.
        curve: metric by number of iterations; at least one.
        objective: what was optimised.
        chosen: its trial.
    """
    import plotly.graph_objects as go

    steps = sorted(curve)
    values = [curve[step] for step in steps]
    figure = go.Figure()
    figure.add_scatter(x=steps, y=values, mode="lines+markers", line={"color": ACCENT}, marker={"size": 9})
    figure.update_traces(hovertemplate=f"%{{x}} iterations<br>{objective.metric} %{{y:.4f}}<extra></extra>")
    figure.update_layout(
        xaxis={"title": {"text": "ALS iterations"}, "rangemode": "tozero"},
        yaxis={"title": {"text": objective.metric}},
        showlegend=False,
    )
    return Panel(
        name=f"{model}_learning_curve",
        title="Learning curve",
        caption=f"{show(chosen.params)} on the first fold: {_bend(steps, values, objective)}",
        spec=specification(figure),
        header=("iterations", objective.metric),
        rows=[(str(step), f"{value:.4f}") for step, value in zip(steps, values, strict=True)],
    )


def _bend(steps: Sequence[int], values: Sequence[float], objective: Objective) -> str:
    """What the last doubling of the iterations brought, in words."""
    if len(steps) < 2:
        return f"{values[0]:.4f} after {steps[0]} iterations."
    gain = (values[-2] - values[-1]) if objective.lower_is_better else (values[-1] - values[-2])
    change = f"{abs(gain):.4f} {'better' if gain >= 0 else 'worse'} than after {steps[-2]}"
    best = (min if objective.lower_is_better else max)(values)
    at = steps[values.index(best)]
    verdict = "more may help" if at == steps[-1] else f"it is best after {at}, so more do not help"
    return f"{values[-1]:.4f} after {steps[-1]} iterations, {change}; {verdict}."


def _parallel(model: str, trials: Sequence[Trial], names: Sequence[str], objective: Objective) -> Panel:
    import plotly.graph_objects as go

    metric = objective.metric
    means = [trial.mean(metric) for trial in trials]
    ranked = objective.ranked(trials)
    figure = go.Figure()
    figure.add_parcoords(
        dimensions=[
            *(_axis(name, [trial.params[name] for trial in trials]) for name in names),
            _metric_axis(metric, means),
        ],
        line={
            "color": means,
            "colorscale": [[0, "#b9c3cd"], [0.6, ACCENT], [1, ACCENT_2]],
            "reversescale": objective.lower_is_better,
        },
        labelside="bottom",
    )
    figure.update_layout(height=380, margin={"l": 56, "r": 56, "t": 24, "b": 48})
    rows = [
        (
            str(trial.number),
            *(show_value(trial.params[name]) for name in names),
            f"{trial.mean(metric):.4f}",
            "–" if math.isnan(trial.standard_error(metric)) else f"{trial.standard_error(metric):.4f}",
            _STAGES[trial.stage],
            f"{trial.seconds:.1f}",
        )
        for trial in ranked
    ]
    return Panel(
        name=f"{model}_parallel",
        title="All trials",
        caption=f"One line per trial through its parameters to {metric}; the best are orange. Drag along an axis to "
        "pick a range.",
        spec=specification(figure),
        header=("trial", *names, metric, "standard error", "judged on", "seconds"),
        rows=rows,
        is_wide=True,
    )


def _metric_axis(metric: str, means: Sequence[float]) -> dict[str, Any]:
    low, high = min(means), max(means)
    ticks = [low + (high - low) * i / 5 for i in range(6)]
    return {"label": metric, "values": means, "tickvals": ticks, "ticktext": [f"{tick:.3f}" for tick in ticks]}


def _axis(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """One vertical axis: numbers on a log scale, anything else at equal distances."""
    if _is_numeric(values):
        ticks = _log_ticks(min(values), max(values))
        low, high = math.log10(min(ticks)), math.log10(max(ticks))
        return {
            "label": name,
            "values": [math.log10(value) for value in values],
            "range": [low, high] if low < high else [low - 0.1, high + 0.1],
            "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": [show_value(tick) for tick in ticks],
        }
    options = sorted({show_value(value) for value in values})
    return {
        "label": name,
        "values": [options.index(show_value(value)) for value in values],
        "range": [-0.2, len(options) - 0.8],
        "tickvals": list(range(len(options))),
        "ticktext": options,
    }


def _log_ticks(low: float, high: float) -> list[float]:
    """The ends and round numbers between them, far enough apart on the log scale to be read.

    Three a decade, or one where they span more than two.

    >>> _log_ticks(8, 32), _log_ticks(0.012, 0.9), _log_ticks(5, 5)
    ([8, 20, 32], [0.012, 0.05, 0.1, 0.2, 0.5, 0.9], [5])
    >>> _log_ticks(0.05, 40)
    [0.05, 0.1, 1, 10, 40]
    """
    if low == high:
        return [low]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1, 2, 5) if high / low <= 100 else (1,)
    round_numbers = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits]
    inner = [int(n) if n >= 1 else n for n in round_numbers if low * 1.7 < n < high / 1.5]
    return [low, *inner, high]


def _against(model: str, trials: Sequence[Trial], name: str, objective: Objective) -> Panel:
    import plotly.graph_objects as go

    metric, best = objective.metric, objective.best(trials)
    is_numeric = _is_numeric([trial.params[name] for trial in trials])
    groups = {
        "all folds": ([t for t in trials if t.stage == "full" and t is not best], ACCENT, "circle"),
        "lower rung or given up": ([t for t in trials if t.stage != "full"], _MUTED, "circle-open"),
        "chosen": ([best], ACCENT_2, "diamond"),
    }
    figure = go.Figure()
    for label, (members, color, symbol) in groups.items():
        if members:
            figure.add_scatter(
                x=[t.params[name] if is_numeric else show_value(t.params[name]) for t in members],
                y=[t.mean(metric) for t in members],
                error_y={"array": [_finite(t.standard_error(metric)) for t in members], "thickness": 1, "width": 0},
                mode="markers",
                name=label,
                marker={"color": color, "symbol": symbol, "size": 11 if label == "chosen" else 8},
                customdata=[show(t.params) for t in members],
                hovertemplate=f"%{{customdata}}<br>{metric} %{{y:.4f}}<extra></extra>",
            )
    figure.update_layout(
        xaxis={"title": {"text": name}, **_scale([trial.params[name] for trial in trials])},
        yaxis={"title": {"text": metric}},
        legend=_LEGEND,
        margin={"t": 36},
    )
    by_value = sorted(trials, key=lambda t: (t.params[name] if is_numeric else show_value(t.params[name]), t.number))
    return Panel(
        name=f"{model}_{name}",
        title=f"{metric} against {name}",
        caption=f"Each point is a trial with its standard error over folds; the chosen one has {name} "
        f"{show_value(best.params[name])}.",
        spec=specification(figure),
        header=(name, metric, "trial"),
        rows=[(show_value(t.params[name]), f"{t.mean(metric):.4f}", str(t.number)) for t in by_value],
    )


def _scale(values: Sequence[Any]) -> dict[str, Any]:
    """Log for numbers, with round ticks; categories otherwise."""
    if not _is_numeric(values):
        return {"type": "category", "categoryorder": "category ascending"}
    ticks = _log_ticks(min(values), max(values))
    return {"type": "log", "tickvals": ticks, "ticktext": [show_value(tick) for tick in ticks], "tickangle": 0}


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _finite(value: float) -> float:
    return 0.0 if math.isnan(value) else value
