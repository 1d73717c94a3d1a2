"""Interactive figures from the summaries: plotly specifications, a caption that says the key number, and the data.

Colours of text, grid and ground are left to the page, which follows the reader's light or dark setting. Labels that may
be long (titles) are given in the layout's ``meta.labels``; the page shortens them to the width at hand.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsys.eda.summaries import Summaries
from recsys.pages import ACCENT, ACCENT_2

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_ROW_HEIGHT = 27  # pixels per bar of a horizontal figure


@dataclass(frozen=True)
class Panel:
    """One figure of the report.

    Attributes:
        name: its anchor in the page.
        caption: what it shows, the key number in words.
        spec: plotly's ``{"data": [...], "layout": {...}}``, plain JSON values.
        header: column heads of the data table.
        rows: its cells, formatted; numbers are right-aligned by the page from the second column on.
    """

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def panels(summaries: Summaries) -> list[Panel]:
    """Every figure the summaries have data for, in the order of the page."""
    return [build(summaries) for name, build in _BUILDERS.items() if summaries.tables[name].num_rows]


def _rating_distribution(summaries: Summaries) -> Panel:
    table = summaries.tables["rating_distribution"].to_pydict()
    stars = [f"{rating:g}" for rating in table["rating"]]
    best = max(range(len(stars)), key=table["n_ratings"].__getitem__)
    high = sum(share for rating, share in zip(table["rating"], table["share"], strict=True) if rating >= 4)
    return Panel(
        "rating_distribution",
        "How people rate",
        f"{stars[best]} stars is the most common rating ({table['share'][best]:.0%}); {high:.0%} of all ratings are 4 "
        f"stars or more, and the mean is {summaries.headline['mean_rating']:.2f}.",
        _columns(stars, table["n_ratings"], table["share"], x_title="stars", y_title="ratings"),
        ("stars", "ratings", "share"),
        _rows(stars, _whole(table["n_ratings"]), _percent(table["share"])),
    )


def _ratings_per_user(summaries: Summaries) -> Panel:
    headline = summaries.headline
    return _histogram(
        summaries.tables["ratings_per_user"],
        "ratings_per_user",
        "Ratings per user",
        f"Half of the {headline['n_users']:,} users gave {headline['median_ratings_per_user']:,g} ratings or fewer; the "
        f"most active one gave {headline['max_ratings_per_user']:,}. The bins widen from left to right.",
        "users",
    )


def _ratings_per_movie(summaries: Summaries) -> Panel:
    headline = summaries.headline
    unrated = headline["n_movies_unrated"]
    return _histogram(
        summaries.tables["ratings_per_movie"],
        "ratings_per_movie",
        "Ratings per movie",
        f"Half of the {headline['n_movies_rated']:,} rated movies have {headline['median_ratings_per_movie']:,g} ratings "
        f"or fewer{f'; {unrated:,} have none' if unrated else ''}. The bins widen from left to right.",
        "movies",
    )


def _mean_ratings(summaries: Summaries) -> Panel:
    import plotly.graph_objects as go

    table = summaries.tables["mean_ratings"].to_pydict()
    means = table["mean_rating"]
    figure = go.Figure()
    for name, colour, dash in (("users", ACCENT, "solid"), ("movies", ACCENT_2, "dot")):
        figure.add_scatter(
            x=means,
            y=table[f"share_of_{name}"],
            customdata=table[f"n_{name}"],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"color": colour, "size": 6},
            hovertemplate="about %{x} stars<br>%{customdata:,} " + name + " (%{y:.1%})<extra></extra>",
        )
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "mean rating, in quarter stars"}, "dtick": 0.5, "range": [0.4, 5.1]},
        yaxis={"title": {"text": "share"}, "tickformat": ".0%", "rangemode": "tozero"},
        hovermode="closest",
    )
    most = max(range(len(means)), key=table["n_users"].__getitem__)
    low = sum(n for mean, n in zip(means, table["n_movies"], strict=True) if mean < 3)
    return Panel(
        "mean_ratings",
        "Averages per user and per movie",
        f"Most users average about {means[most]:g} stars; {low / max(1, sum(table['n_movies'])):.0%} of the rated movies "
        "average below 3. A movie with a single rating averages just that, which shows as spikes where there are many.",
        _spec(figure),
        ("mean rating", "users", "share of users", "movies", "share of movies"),
        _rows(
            [f"{mean:.2f}" for mean in means],
            _whole(table["n_users"]),
            _percent(table["share_of_users"]),
            _whole(table["n_movies"]),
            _percent(table["share_of_movies"]),
        ),
    )


def _most_rated(summaries: Summaries) -> Panel:
    table = summaries.tables["most_rated"].to_pydict()
    titles, counts = table["title"], table["n_ratings"]
    share = counts[0] / summaries.headline["n_users"]
    return Panel(
        "most_rated",
        "Most rated movies",
        f"{titles[0]} leads with {counts[0]:,} ratings: {share:.0%} of all users rated it.",
        _bars(titles, counts, [f"{mean:.2f} stars on average" for mean in table["mean_rating"]], x_title="ratings"),
        ("movie", "ratings", "mean rating"),
        _rows(titles, _whole(counts), _decimal(table["mean_rating"])),
    )


def _best_rated(summaries: Summaries) -> Panel:
    import plotly.graph_objects as go

    table = summaries.tables["best_rated"].to_pydict()
    titles, shrunken, plain = table["title"], table["shrunken_mean"], table["mean_rating"]
    places = list(range(len(titles)))
    hover = [f"{title}<br>{n:,} ratings" for title, n in zip(_escaped(titles), table["n_ratings"], strict=True)]
    figure = go.Figure()
    for low, high, place in zip(shrunken, plain, places, strict=True):
        figure.add_shape(type="line", x0=low, x1=high, y0=place, y1=place, line={"color": ACCENT_2, "width": 1.5})
    figure.add_scatter(
        x=plain,
        y=places,
        customdata=hover,
        name="plain mean",
        mode="markers",
        marker={"symbol": "circle-open", "size": 10, "color": ACCENT_2, "line": {"width": 2}},
        hovertemplate="%{customdata}<br>plain mean %{x:.2f}<extra></extra>",
    )
    figure.add_scatter(
        x=shrunken,
        y=places,
        customdata=hover,
        name="shrunken mean",
        mode="markers",
        marker={"size": 12, "color": ACCENT},
        hovertemplate="%{customdata}<br>shrunken mean %{x:.2f}<extra></extra>",
    )
    _by_label(figure, titles)
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "reversed"},
        xaxis={"title": {"text": "stars"}},
        height=_height(len(titles)) + 30,
    )
    weight = summaries.headline["shrinkage"]
    return Panel(
        "best_rated",
        "Best rated movies",
        f"{titles[0]} is first with {shrunken[0]:.2f} stars after shrinking. Each mean is pulled towards the mean of "
        f"all ratings ({summaries.headline['mean_rating']:.2f}) as if the movie had {weight:,.0f} more ratings of it (the "
        "average number per movie), so that one enthusiast cannot make a favourite.",
        _spec(figure),
        ("movie", "shrunken mean", "plain mean", "ratings"),
        _rows(titles, _decimal(shrunken), _decimal(plain), _whole(table["n_ratings"])),
    )


def _groups(summaries: Summaries, name: str, title: str, caption: str, head: str) -> Panel:
    from plotly.subplots import make_subplots

    table = summaries.tables[name].to_pydict()
    names, places = table["name"], list(range(len(table["name"])))
    figure = make_subplots(cols=2, shared_yaxes=True, column_widths=[0.64, 0.36], horizontal_spacing=0.05)
    figure.add_bar(
        x=table["n_ratings"],
        y=places,
        orientation="h",
        marker={"color": ACCENT},
        customdata=[f"{label}<br>{n:,} movies" for label, n in zip(_escaped(names), table["n_movies"], strict=True)],
        hovertemplate="%{customdata}, %{x:,} ratings<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=table["mean_rating"],
        y=places,
        mode="markers",
        marker={"color": ACCENT_2, "size": 10},
        customdata=_escaped(names),
        hovertemplate="%{customdata}<br>%{x:.2f} stars on average<extra></extra>",
        row=1,
        col=2,
    )
    _by_label(figure, names)
    figure.update_layout(
        showlegend=False,
        xaxis={"title": {"text": "ratings"}, "nticks": 5},
        xaxis2={"title": {"text": "mean rating"}, "nticks": 4},
        yaxis2={"showgrid": True},
        height=_height(len(names)),
        bargap=0.3,
    )
    return Panel(
        name,
        title,
        caption,
        _spec(figure),
        (head, "ratings", "movies", "mean rating"),
        _rows(names, _whole(table["n_ratings"]), _whole(table["n_movies"]), _decimal(table["mean_rating"])),
    )


def _genres(summaries: Summaries) -> Panel:
    table = summaries.tables["genres"].to_pydict()
    rated = [(mean, name) for mean, name in zip(table["mean_rating"], table["name"], strict=True) if mean is not None]
    share = table["n_ratings"][0] / summaries.headline["n_ratings"]
    caption = (
        f"{table['name'][0]} has the most ratings ({share:.0%} of all); {max(rated)[1]} has the highest mean "
        f"({max(rated)[0]:.2f}), {min(rated)[1]} the lowest ({min(rated)[0]:.2f}). A movie counts in each of its genres."
    )
    return _groups(summaries, "genres", "Genres", caption, "genre")


def _decades(summaries: Summaries) -> Panel:
    table = summaries.tables["decades"].to_pydict()
    most = max(range(len(table["name"])), key=table["n_ratings"].__getitem__)
    share = table["n_ratings"][most] / summaries.headline["n_ratings"]
    caption = f"Movies of the {table['name'][most]} draw {share:.0%} of all ratings."
    return _groups(summaries, "decades", "Decades of release", caption, "decade")


def _over_time(summaries: Summaries) -> Panel:
    from plotly.subplots import make_subplots

    table = summaries.tables["over_time"].to_pydict()
    periods, counts, means = table["period"], table["n_ratings"], table["mean_rating"]
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.07)
    figure.add_bar(
        x=periods,
        y=counts,
        marker={"color": ACCENT},
        hovertemplate="%{x}<br>%{y:,} ratings<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=periods,
        y=means,
        mode="lines+markers",
        line={"color": ACCENT_2, "width": 2.5},
        marker={"size": 5},
        hovertemplate="%{x}<br>%{y:.2f} stars on average<extra></extra>",
        row=2,
        col=1,
    )
    axis = {"type": "date", "tickformat": "%Y" if summaries.period == "year" else "%b %Y", "nticks": 10}
    figure.update_layout(
        showlegend=False,
        xaxis=axis,
        xaxis2=axis,
        yaxis={"title": {"text": "ratings"}},
        yaxis2={"title": {"text": "mean rating"}, "nticks": 4},
        height=430,
        bargap=0.15,
    )
    busiest = max(range(len(periods)), key=counts.__getitem__)
    step = summaries.period
    n_empty = counts.count(0)
    return Panel(
        "over_time",
        f"Activity over time, by {step}",
        f"The busiest of {len(periods):,} {step}s was {periods[busiest]} with {counts[busiest]:,} ratings"
        f"{f'; {n_empty:,} had none' if n_empty else ''}.",
        _spec(figure),
        (step, "ratings", "mean rating"),
        _rows(periods, _whole(counts), _decimal(means)),
    )


def _long_tail(summaries: Summaries) -> Panel:
    import plotly.graph_objects as go

    table = summaries.tables["long_tail"].to_pydict()
    shares, held = table["share_of_movies"], table["share_of_ratings"]
    figure = go.Figure()
    figure.add_scatter(
        x=shares,
        y=held,
        mode="lines",
        line={"color": ACCENT, "width": 3},
        fill="tozeroy",
        fillcolor="rgba(47, 126, 199, 0.13)",
        hovertemplate="the most rated %{x:.0%} of the movies<br>hold %{y:.1%} of the ratings<extra></extra>",
    )
    figure.add_scatter(
        x=[0.1],
        y=[held[10]],
        mode="markers+text",
        marker={"color": ACCENT_2, "size": 12},
        text=[f"  10% of movies: {held[10]:.0%} of ratings"],
        textposition="middle right" if held[10] < 0.6 else "bottom right",
        hoverinfo="skip",
    )
    figure.update_layout(
        showlegend=False,
        xaxis={"title": {"text": "movies, the most rated first"}, "tickformat": ".0%", "range": [0, 1]},
        yaxis={"title": {"text": "share of all ratings"}, "tickformat": ".0%", "range": [0, 1.03]},
    )
    half = next(share for share, value in zip(shares, held, strict=True) if value >= 0.5)
    shown = [0, 1, 2, 5, *range(10, 101, 10)]
    return Panel(
        "long_tail",
        "The long tail",
        f"The most rated tenth of the movies holds {held[10]:.0%} of all ratings; {half:.0%} of the "
        "movies are enough for half.",
        _spec(figure),
        ("movies, most rated first", "share of ratings"),
        _rows(_percent([shares[i] for i in shown], 0), _percent([held[i] for i in shown])),
    )


def _tags(summaries: Summaries) -> Panel:
    table = summaries.tables["tags"].to_pydict()
    tags, uses = table["tag"], table["n_uses"]
    notes = [
        f"on {_count(movies, 'movie')}, by {_count(users, 'user')}"
        for movies, users in zip(table["n_movies"], table["n_users"], strict=True)
    ]
    return Panel(
        "tags",
        "Most used tags",
        f"“{tags[0]}” is the most used of {summaries.headline['n_tags']:,} tags: {uses[0]:,} times, {notes[0]}.",
        _bars(tags, uses, notes, x_title="uses"),
        ("tag", "uses", "movies", "users"),
        _rows(tags, _whole(uses), _whole(table["n_movies"]), _whole(table["n_users"])),
    )


_BUILDERS: dict[str, Callable[[Summaries], Panel]] = {
    "rating_distribution": _rating_distribution,
    "mean_ratings": _mean_ratings,
    "ratings_per_user": _ratings_per_user,
    "ratings_per_movie": _ratings_per_movie,
    "most_rated": _most_rated,
    "best_rated": _best_rated,
    "genres": _genres,
    "decades": _decades,
    "over_time": _over_time,
    "long_tail": _long_tail,
    "tags": _tags,
}


def _histogram(table: pa.Table, name: str, title: str, caption: str, what: str) -> Panel:
    columns = table.to_pydict()
    return Panel(
        name,
        title,
        caption,
        _columns(
            columns["label"],
            columns["n"],
            columns["share"],
            x_title=f"ratings per {what[:-1]}",
            y_title=what,
            tick_angle=-40,
        ),
        (f"ratings per {what[:-1]}", what, "share"),
        _rows(columns["label"], _whole(columns["n"]), _percent(columns["share"])),
    )


def _columns(
    labels: list[str], values: list[int], shares: list[float], *, x_title: str, y_title: str, tick_angle: int = 0
) -> dict[str, Any]:
    """Vertical bars, each with its share above it."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_bar(
        x=labels,
        y=values,
        customdata=_percent(shares),
        text=[f"{share:.0%}" if share >= 0.005 else "" for share in shares],
        textposition="outside",
        cliponaxis=False,
        marker={"color": ACCENT},
        hovertemplate=f"%{{x}} {x_title}<br>%{{y:,}} {y_title} (%{{customdata}})<extra></extra>",
    )
    figure.update_layout(
        xaxis={"title": {"text": x_title}, "type": "category", "showgrid": False, "tickangle": tick_angle},
        yaxis={"title": {"text": y_title}, "rangemode": "tozero"},
        bargap=0.18,
    )
    return _spec(figure)


def _bars(labels: list[str], values: list[int], notes: list[str], *, x_title: str) -> dict[str, Any]:
    """Horizontal bars, the first label on top, each value at its end."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=list(range(len(labels))),
        orientation="h",
        text=_whole(values),
        textposition="auto",
        insidetextfont={"color": "#ffffff"},
        textangle=0,
        marker={"color": ACCENT},
        customdata=[f"{label}<br>{note}" for label, note in zip(_escaped(labels), notes, strict=True)],
        hovertemplate=f"%{{customdata}}<br>%{{x:,}} {x_title}<extra></extra>",
    )
    _by_label(figure, labels)
    figure.update_layout(xaxis={"title": {"text": x_title}}, height=_height(len(labels)), bargap=0.25)
    return _spec(figure)


def _by_label(figure: "Figure", labels: list[str]) -> None:
    """Rows at whole numbers with the labels as ticks: two movies of one title stay two rows."""
    figure.update_layout(
        meta={"labels": labels},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": _escaped(labels),
            "range": [len(labels) - 0.4, -0.6],
            "showgrid": False,
        },
    )


def _height(n_rows: int) -> int:
    return 80 + _ROW_HEIGHT * max(3, n_rows)


def _spec(figure: "Figure") -> dict[str, Any]:
    figure.update_layout(template="none")
    spec: dict[str, Any] = json.loads(figure.to_json())
    spec["layout"].pop("template", None)
    return spec


def _escaped(labels: list[str]) -> list[str]:
    """Plotly reads a few HTML tags and entities in text; titles must not be read as such.

    >>> _escaped(["Fast & <b>Furious</b>"])
    ['Fast &amp; &lt;b&gt;Furious&lt;/b&gt;']
    """
    return [label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for label in labels]


def _count(n: int, noun: str) -> str:
    """A number with its noun.

    >>> _count(1, "user"), _count(1200, "user")
    ('1 user', '1,200 users')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _rows(*columns: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*columns, strict=True))


def _whole(values: list[int]) -> list[str]:
    return [f"{value:,}" for value in values]


def _decimal(values: list[float | None]) -> list[str]:
    return ["–" if value is None else f"{value:.2f}" for value in values]


def _percent(values: list[float], digits: int = 1) -> list[str]:
    return [f"{value:.{digits}%}" for value in values]
