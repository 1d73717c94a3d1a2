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
        vertical_bars(stars, table["n_ratings"], table["share"], x_title="stars", y_title="ratings"),
        ("stars", "ratings", "share"),
        rows_of(stars, whole(table["n_ratings"]), percent(table["share"])),
    )


def _ratings_per_user(summaries: Summaries) -> Panel:
    headline = summaries.headline
    return _histogram(
        summaries.tables["ratings_per_user"],
        "ratings_per_user",
        "Ratings per user",
        f"Half of the {headline['n_users']:,} users gave {headline['median_ratings_per_user']:,g} ratings or fewer, "
        f"the average is {headline['mean_ratings_per_user']:,.1f}; the most active one gave "
        f"{headline['max_ratings_per_user']:,}. The bins widen from left to right.",
        "users",
    )


def _ratings_per_movie(summaries: Summaries) -> Panel:
    headline = summaries.headline
    unrated = headline["n_movies_unrated"]
    return _histogram(
        summaries.tables["ratings_per_movie"],
        "ratings_per_movie",
        "Ratings per movie",
        f"Half of the {headline['n_movies_rated']:,} rated movies have {headline['median_ratings_per_movie']:,g} "
        f"ratings or fewer, the average is {headline['mean_ratings_per_movie']:,.1f}"
        f"{'; ' + counted(unrated, 'movie') + ' without any' if unrated else ''}. The bins widen from left to right.",
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
        f"Most users average about {means[most]:g} stars; {low / max(1, sum(table['n_movies'])):.0%} of the rated "
        "movies average below 3. A movie with a single rating averages just that, which shows as spikes where "
        "there are many.",
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
        specification(figure),
        (step, "ratings", "mean rating"),
        rows_of(periods, whole(counts), decimal(means)),
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
        specification(figure),
        ("movies, most rated first", "share of ratings"),
        rows_of(percent([shares[i] for i in shown], 0), percent([held[i] for i in shown])),
    )


_BUILDERS: dict[str, Callable[[Summaries], Panel]] = {
    "rating_distribution": _rating_distribution,
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


def _histogram(table: pa.Table, name: str, title: str, caption: str, what: str) -> Panel:
    columns = table.to_pydict()
    return Panel(
        name,
        title,
        caption,
        vertical_bars(
            columns["label"],
            columns["n"],
            columns["share"],
            x_title=f"ratings per {what[:-1]}",
            y_title=what,
            tick_angle=-40,
        ),
        (f"ratings per {what[:-1]}", what, "share"),
        rows_of(columns["label"], whole(columns["n"]), percent(columns["share"])),
    )
