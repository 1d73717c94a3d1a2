"""The report's figures from the summaries: what each draws, a caption that says the key number, and the data."""

from collections.abc import Callable

import pyarrow as pa

from recsys.ingest.eda import movie_figures
from recsys.ingest.eda.eda_charts import (
    counted,
    decimal,
    percent,
    rows_of,
    vertical_bars,
    whole,
)
from recsys.ingest.eda.summaries import Summaries
from recsys.pages.charts import Panel, specification
from recsys.pages.rendering import ACCENT, ACCENT_2


def panels(summaries: Summaries) -> list[Panel]:
    """Every figure the summaries have data for, in the order of the page."""
    return [
        build(summaries)
        for name, build in _BUILDERS.items()
        if name in summaries.tables and summaries.tables[name].num_rows
    ]


def _rating_distribution(summaries: Summaries) -> Panel:
    table, scale = summaries.tables["rating_distribution"].to_pydict(), summaries.scale
    stars, unit = [f"{rating:g}" for rating in table["rating"]], scale.unit
    best = max(range(len(stars)), key=table["n_ratings"].__getitem__)
    about = "" if scale.bins == scale.step else "about "
    unit_said = " stars" if unit == "stars" else ""
    good = [
        (rating, share) for rating, share in zip(table["rating"], table["share"], strict=True) if rating >= scale.good
    ]
    high = (
        f"{sum(share for _, share in good):.0%} of all ratings are {good[0][0]:g} {unit} or more"
        if good
        else (f"no rating reaches {scale.good:g} {unit}")
    )
    return Panel(
        "rating_distribution",
        "How people rate",
        f"{about.capitalize()}{stars[best]}{unit_said} is the most common rating ({table['share'][best]:.0%}); {high}, "
        f"and the mean is {summaries.headline['mean_rating']:.2f}.",
        vertical_bars(stars, table["n_ratings"], table["share"], x_title=f"{about}{unit}", y_title="ratings"),
        (f"{about}{unit}", "ratings", "share"),
        rows_of(stars, whole(table["n_ratings"]), percent(table["share"])),
    )


def _counts(summaries: Summaries) -> Panel:
    table, headline = summaries.tables["counts"], summaries.headline
    once = sum(row["n"] for row in table.to_pylist() if row["high"] <= 1) / headline["n_ratings"]
    return _histogram(
        table,
        "counts",
        "How often a user has a movie",
        f"These data have no ratings, but counts. A pair is a user with a movie: {once:.0%} of the "
        f"{headline['n_ratings']:,} pairs occur once, the average is {headline['mean_count']:,.1f} times. The bins "
        "widen from left to right.",
        "times per pair",
        "pairs",
    )


def _ratings_per_user(summaries: Summaries) -> Panel:
    headline, row = summaries.headline, summaries.scale.row
    return _histogram(
        summaries.tables["ratings_per_user"],
        "ratings_per_user",
        f"{row.capitalize()}s per user",
        f"Half of the {headline['n_users']:,} users gave {headline['median_ratings_per_user']:,g} {row}s or fewer, "
        f"the average is {headline['mean_ratings_per_user']:,.1f}; the most active one gave "
        f"{headline['max_ratings_per_user']:,}. The bins widen from left to right.",
        f"{row}s per user",
        "users",
    )


def _ratings_per_movie(summaries: Summaries) -> Panel:
    headline, row = summaries.headline, summaries.scale.row
    unrated = headline["n_movies_unrated"]
    return _histogram(
        summaries.tables["ratings_per_movie"],
        "ratings_per_movie",
        f"{row.capitalize()}s per movie",
        f"Half of the {headline['n_movies_rated']:,} movies with {row}s have {headline['median_ratings_per_movie']:,g} "
        f"{row}s or fewer, the average is {headline['mean_ratings_per_movie']:,.1f}"
        f"{'; ' + counted(unrated, 'movie') + ' without any' if unrated else ''}. The bins widen from left to right.",
        f"{row}s per movie",
        "movies",
    )


def _mean_ratings(summaries: Summaries) -> Panel:
    import plotly.graph_objects as go

    table, scale = summaries.tables["mean_ratings"].to_pydict(), summaries.scale
    unit, width = scale.unit, scale.width
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
            hovertemplate=f"about %{{x}} {unit}<br>%{{customdata:,}} " + name + " (%{y:.1%})<extra></extra>",
        )
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={
            "title": {"text": f"mean rating, to the nearest {width:g} {unit}"},
            "dtick": 2 * width,
            "range": [scale.low - 0.4 * width, scale.high + 0.4 * width],
        },
        yaxis={"title": {"text": "share"}, "tickformat": ".0%", "rangemode": "tozero"},
        hovermode="closest",
    )
    most = max(range(len(means)), key=table["n_users"].__getitem__)
    low = sum(n for mean, n in zip(means, table["n_movies"], strict=True) if mean < scale.middle)
    return Panel(
        "mean_ratings",
        "Averages per user and per movie",
        f"Most users average about {means[most]:g} {unit}; {low / max(1, sum(table['n_movies'])):.0%} of the rated "
        f"movies average below {scale.middle:g}. A movie with a single rating averages just that, which shows as "
        "spikes where there are many.",
        specification(figure),
        ("mean rating", "users", "share of users", "movies", "share of movies"),
        rows_of(
            [f"{mean:.2f}" for mean in means],
            whole(table["n_users"]),
            percent(table["share_of_users"]),
            whole(table["n_movies"]),
            percent(table["share_of_movies"]),
        ),
    )


def _over_time(summaries: Summaries) -> Panel:
    from plotly.subplots import make_subplots

    table, scale = summaries.tables["over_time"].to_pydict(), summaries.scale
    periods, counts, means = table["period"], table["n_ratings"], table["mean_rating"]
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.07)
    figure.add_bar(
        x=periods,
        y=counts,
        marker={"color": ACCENT},
        hovertemplate=f"%{{x}}<br>%{{y:,}} {scale.row}s<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=periods,
        y=means,
        mode="lines+markers",
        line={"color": ACCENT_2, "width": 2.5},
        marker={"size": 5},
        hovertemplate=f"%{{x}}<br>%{{y:.2f}} {scale.unit} on average<extra></extra>",
        row=2,
        col=1,
    )
    axis = {"type": "date", "tickformat": "%Y" if summaries.period == "year" else "%b %Y", "nticks": 10}
    figure.update_layout(
        showlegend=False,
        xaxis=axis,
        xaxis2=axis,
        yaxis={"title": {"text": f"{scale.row}s"}},
        yaxis2={"title": {"text": scale.mean}, "nticks": 4},
        height=430,
        bargap=0.15,
    )
    busiest = max(range(len(periods)), key=counts.__getitem__)
    step = summaries.period
    n_empty = counts.count(0)
    return Panel(
        "over_time",
        f"Activity over time, by {step}",
        f"The busiest of {len(periods):,} {step}s was {periods[busiest]} with {counts[busiest]:,} {scale.row}s"
        f"{f'; {n_empty:,} had none' if n_empty else ''}.",
        specification(figure),
        (step, f"{scale.row}s", scale.mean),
        rows_of(periods, whole(counts), decimal(means)),
    )


def _long_tail(summaries: Summaries) -> Panel:
    import plotly.graph_objects as go

    table, rows = summaries.tables["long_tail"].to_pydict(), f"{summaries.scale.row}s"
    shares, held = table["share_of_movies"], table["share_of_ratings"]
    figure = go.Figure()
    figure.add_scatter(
        x=shares,
        y=held,
        mode="lines",
        line={"color": ACCENT, "width": 3},
        fill="tozeroy",
        fillcolor="rgba(47, 126, 199, 0.13)",
        hovertemplate=f"the most popular %{{x:.0%}} of the movies<br>hold %{{y:.1%}} of the {rows}<extra></extra>",
    )
    figure.add_scatter(
        x=[0.1],
        y=[held[10]],
        mode="markers+text",
        marker={"color": ACCENT_2, "size": 12},
        text=[f"  10% of movies: {held[10]:.0%} of {rows}"],
        textposition="middle right" if held[10] < 0.6 else "bottom right",
        hoverinfo="skip",
    )
    figure.update_layout(
        showlegend=False,
        xaxis={"title": {"text": "movies, the most rated first"}, "tickformat": ".0%", "range": [0, 1]},
        yaxis={"title": {"text": f"share of all {rows}"}, "tickformat": ".0%", "range": [0, 1.03]},
    )
    half = next(share for share, value in zip(shares, held, strict=True) if value >= 0.5)
    shown = [0, 1, 2, 5, *range(10, 101, 10)]
    return Panel(
        "long_tail",
        "The long tail",
        f"The most rated tenth of the movies holds {held[10]:.0%} of all {rows}; {half:.0%} of the "
        "movies are enough for half.",
        specification(figure),
        ("movies, most rated first", f"share of {rows}"),
        rows_of(percent([shares[i] for i in shown], 0), percent([held[i] for i in shown])),
    )


_BUILDERS: dict[str, Callable[[Summaries], Panel]] = {
    "rating_distribution": _rating_distribution,
    "counts": _counts,
    "mean_ratings": _mean_ratings,
    "ratings_per_user": _ratings_per_user,
    "ratings_per_movie": _ratings_per_movie,
    "most_rated": movie_figures.most_rated,
    "best_rated": movie_figures.best_rated,
    "genres": movie_figures.genres,
    "decades": movie_figures.decades,
    "languages": movie_figures.languages,
    "over_time": _over_time,
    "long_tail": _long_tail,
    "tags": movie_figures.tags,
    "keywords": movie_figures.keywords,
}


def _histogram(table: pa.Table, name: str, title: str, caption: str, counted: str, what: str) -> Panel:
    columns = table.to_pydict()
    return Panel(
        name,
        title,
        caption,
        vertical_bars(
            columns["label"],
            columns["n"],
            columns["share"],
            x_title=counted,
            y_title=what,
            tick_angle=-40,
        ),
        (counted, what, "share"),
        rows_of(columns["label"], whole(columns["n"]), percent(columns["share"])),
    )
