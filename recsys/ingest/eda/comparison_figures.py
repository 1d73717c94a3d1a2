"""The section about the snapshot before: both headlines side by side, both distributions, the movies that gained."""

from collections.abc import Callable
from typing import Any

from recsys.ingest.eda.comparison import Comparison
from recsys.ingest.eda.eda_charts import horizontal_bars, percent, rows_of, whole
from recsys.pages.charts import Panel, specification
from recsys.pages.rendering import ACCENT, ACCENT_2


def changes(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """The headline's numbers: ``(name, before, now, difference)``, as text."""
    before, now = dict(comparison.before.headline), comparison.now.headline
    if comparison.before.scale != comparison.now.scale:
        before.pop("mean_rating", None)  # of another scale
    rows = []
    for name, label, show, difference in _LINES:
        old, new = before.get(name), now.get(name)
        if old is not None and new is not None and (old or new):
            rows.append((label, show(old), show(new), difference(old, new)))
    return rows


def turnover(comparison: Comparison) -> str:
    """What became of the catalogue, in a sentence."""
    n_new, n_vanished = comparison.n_new, comparison.n_vanished
    if not n_new and not n_vanished:
        return "The catalogue holds the same movies as before."
    return f"Movies new in the catalogue: {n_new:,}; no longer in it: {n_vanished:,}."


def panels(comparison: Comparison) -> list[Panel]:
    """The section's figures; that of the gains only where a movie gained, that of ratings only where there are any."""
    figures = [_ratings(comparison)] if comparison.ratings.num_rows else []
    return [*figures, *([_gained(comparison)] if comparison.gained.num_rows else [])]


def _ratings(comparison: Comparison) -> Panel:
    import plotly.graph_objects as go

    table = comparison.ratings.to_pydict()
    stars, unit = [f"{rating:g}" for rating in table["rating"]], comparison.now.scale.unit
    figure = go.Figure()
    # Hatched, so that the two are told apart on grey paper as well.
    hatched = {"color": ACCENT_2, "pattern": {"shape": "/", "fillmode": "replace", "size": 6}}
    for name, marker in (("before", hatched), ("now", {"color": ACCENT})):
        figure.add_bar(
            x=stars,
            y=table[f"share_{name}"],
            customdata=table[f"n_{name}"],
            name=name,
            marker=marker,
            hovertemplate=f"%{{x}} {unit}, {name}<br>%{{y:.1%}} (%{{customdata:,}} ratings)<extra></extra>",
        )
    figure.update_layout(
        barmode="group",
        bargap=0.22,
        bargroupgap=0.05,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": unit}, "type": "category", "showgrid": False},
        yaxis={"title": {"text": "share of the ratings"}, "tickformat": ".0%", "rangemode": "tozero"},
    )
    return Panel(
        "ratings_before_and_now",
        "How people rate, before and now",
        _moved([f"{rating} {unit}" for rating in stars], table["share_before"], table["share_now"]),
        specification(figure),
        (unit, "before", "share", "now", "share"),
        rows_of(
            stars,
            whole(table["n_before"]),
            percent(table["share_before"]),
            whole(table["n_now"]),
            percent(table["share_now"]),
        ),
    )


def _moved(stars: list[str], before: list[float], now: list[float]) -> str:
    """The star whose share changed most, in a sentence.

    >>> _moved(["1 stars", "2 stars"], [0.5, 0.5], [0.45, 0.55])
    'The share of 1 stars moved most, by -5.0 points.'
    """
    moves = [new - old for old, new in zip(before, now, strict=True)]
    most = max(range(len(moves)), key=lambda at: abs(round(moves[at], 6)))
    if abs(moves[most]) < 0.0005:
        return "No rating's share moved by as much as a tenth of a point."
    return f"The share of {stars[most]} moved most, by {moves[most] * 100:+.1f} points."


def _gained(comparison: Comparison) -> Panel:
    table = comparison.gained.to_pydict()
    titles, gained = table["title"], table["gained"]
    notes = [f"from {old:,} to {new:,}" for old, new in zip(table["before"], table["now"], strict=True)]
    return Panel(
        "gained",
        "Movies that gained the most ratings",
        f"{titles[0]} gained {gained[0]:,}: it went {notes[0]}.",
        horizontal_bars(titles, gained, notes, x_title="more ratings"),
        ("movie", "before", "now", "gained"),
        rows_of(titles, whole(table["before"]), whole(table["now"]), whole(gained)),
    )


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _more(before: float, now: float) -> str:
    """A difference in counts, with what it is of the count before.

    >>> _more(2000, 4500), _more(0, 3), _more(5, 5), _more(2, 2.5)
    ('+2,500 (+125.0%)', '+3', 'none', '+0.5 (+25.0%)')
    """
    difference = f"{now - before:+,.1f}".removesuffix(".0")
    if float(difference.replace(",", "")) == 0:
        return "none"
    return difference + (f" ({now / before - 1:+.1%})" if before else "")


def _stars(before: float, now: float) -> str:
    return f"{now - before:+.3f}"


def _points(before: float, now: float) -> str:
    return f"{(now - before) * 100:+.3f} points"


def _days(before: Any, now: Any) -> str:
    return f"{(now - before).days:+,} days" if (now - before).days else "none"


_Line = tuple[str, str, Callable[[Any], str], Callable[[Any, Any], str]]
_LINES: tuple[_Line, ...] = (
    ("n_ratings", "Ratings", _whole, _more),
    ("n_users", "Users", _whole, _more),
    ("n_movies", "Movies", _whole, _more),
    ("n_movies_rated", "Movies rated", _whole, _more),
    ("n_movies_unrated", "Movies not rated", _whole, _more),
    ("n_tags", "Tags", _whole, _more),
    ("sparsity", "Sparsity", "{:.3%}".format, _points),
    ("mean_rating", "Mean rating", "{:.3f}".format, _stars),
    ("mean_count", "Times per user and movie, mean", "{:.3f}".format, _stars),
    ("median_ratings_per_user", "Ratings per user, median", "{:,g}".format, _more),
    ("mean_ratings_per_user", "Ratings per user, mean", "{:,.1f}".format, _more),
    ("median_ratings_per_movie", "Ratings per rated movie, median", "{:,g}".format, _more),
    ("mean_ratings_per_movie", "Ratings per rated movie, mean", "{:,.1f}".format, _more),
    ("last_rating", "Last rating", "{:%d %b %Y}".format, _days),
)
