"""Figures about movies: the most and the best rated, genres, decades, languages, tags, keywords."""

from recsys.ingest.eda.eda_charts import (
    counted,
    decimal,
    escaped,
    height_of,
    horizontal_bars,
    label_rows,
    rows_of,
    whole,
)
from recsys.ingest.eda.summaries import Summaries
from recsys.pages.charts import Panel, specification
from recsys.pages.rendering import ACCENT, ACCENT_2


def most_rated(summaries: Summaries) -> Panel:
    table = summaries.tables["most_rated"].to_pydict()
    titles, counts = table["title"], table["n_ratings"]
    scale = summaries.scale
    notes = [f"{mean:.2f} {scale.unit} on average" for mean in table["mean_rating"]]
    share, verb = counts[0] / summaries.headline["n_users"], "rated" if scale.has_ratings else "had"
    return Panel(
        "most_rated",
        "Most rated movies" if scale.has_ratings else "Most popular movies",
        f"{titles[0]} leads with {counts[0]:,} {scale.row}s: {share:.0%} of all users {verb} it.",
        horizontal_bars(titles, counts, notes, x_title=f"{scale.row}s"),
        ("movie", f"{scale.row}s", scale.mean),
        rows_of(titles, whole(counts), decimal(table["mean_rating"])),
    )


def best_rated(summaries: Summaries) -> Panel:
    import plotly.graph_objects as go

    table = summaries.tables["best_rated"].to_pydict()
    titles, shrunken, plain = table["title"], table["shrunken_mean"], table["mean_rating"]
    places = list(range(len(titles)))
    hover = [f"{title}<br>{n:,} ratings" for title, n in zip(escaped(titles), table["n_ratings"], strict=True)]
    figure = go.Figure()
    for low, high, place in zip(shrunken, plain, places, strict=True):
        figure.add_shape(
            type="line", x0=low, x1=high, y0=place, y1=place, layer="below", line={"color": ACCENT_2, "width": 1.5}
        )
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
    label_rows(figure, titles)
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "reversed"},
        xaxis={"title": {"text": summaries.scale.unit}},
        height=height_of(len(titles)) + 30,
    )
    weight = summaries.headline["shrinkage"]
    return Panel(
        "best_rated",
        "Best rated movies",
        f"{titles[0]} is first with {shrunken[0]:.2f} {summaries.scale.unit} after shrinking. Each mean is pulled "
        f"towards the mean of all ratings ({summaries.headline['mean_rating']:.2f}) as if the movie had {weight:,.0f} "
        "more ratings of it (the average number per movie), so that one enthusiast cannot make a favourite.",
        specification(figure),
        ("movie", "shrunken mean", "plain mean", "ratings"),
        rows_of(titles, decimal(shrunken), decimal(plain), whole(table["n_ratings"])),
    )


def genres(summaries: Summaries) -> Panel:
    table = summaries.tables["genres"].to_pydict()
    rated = [(mean, name) for mean, name in zip(table["mean_rating"], table["name"], strict=True) if mean is not None]
    share = table["n_ratings"][0] / summaries.headline["n_ratings"]
    caption = (
        f"{table['name'][0]} has the most {summaries.scale.row}s ({share:.0%} of all); {max(rated)[1]} has the highest "
        f"mean ({max(rated)[0]:.2f}), {min(rated)[1]} the lowest ({min(rated)[0]:.2f}). A movie counts in each of its "
        "genres."
    )
    return _groups(summaries, "genres", "Genres", caption, "genre")


def decades(summaries: Summaries) -> Panel:
    table = summaries.tables["decades"].to_pydict()
    most = max(range(len(table["name"])), key=table["n_ratings"].__getitem__)
    share = table["n_ratings"][most] / summaries.headline["n_ratings"]
    caption = f"Movies of the {table['name'][most]} draw {share:.0%} of all {summaries.scale.row}s."
    return _groups(summaries, "decades", "Decades of release", caption, "decade")


def languages(summaries: Summaries) -> Panel:
    table = summaries.tables["languages"].to_pydict()
    headline = summaries.headline
    caption = (
        f"Movies made in “{table['name'][0]}” draw {table['n_ratings'][0] / headline['n_ratings']:.0%} of all "
        f"{summaries.scale.row}s; "
        f"there are {counted(headline['n_languages'], 'language')}, by their ISO 639-1 codes."
    )
    return _groups(summaries, "languages", "Original languages", caption, "language")


def keywords(summaries: Summaries) -> Panel:
    table = summaries.tables["keywords"].to_pydict()
    names, movies, scale = table["name"], table["n_movies"], summaries.scale
    notes = [
        counted(n, scale.row) + ("" if mean is None else f", {mean:.2f} {scale.unit} on average")
        for n, mean in zip(table["n_ratings"], table["mean_rating"], strict=True)
    ]
    return Panel(
        "keywords",
        "Most frequent keywords",
        f"“{names[0]}” is on the most movies of {summaries.headline['n_keywords']:,} keywords: "
        f"{counted(movies[0], 'movie')}, {notes[0]}.",
        horizontal_bars(names, movies, notes, x_title="movies"),
        ("keyword", "movies", f"{scale.row}s", scale.mean),
        rows_of(names, whole(movies), whole(table["n_ratings"]), decimal(table["mean_rating"])),
    )


def tags(summaries: Summaries) -> Panel:
    table = summaries.tables["tags"].to_pydict()
    tags, uses = table["tag"], table["n_uses"]
    notes = [
        f"on {counted(movies, 'movie')}, by {counted(users, 'user')}"
        for movies, users in zip(table["n_movies"], table["n_users"], strict=True)
    ]
    return Panel(
        "tags",
        "Most used tags",
        f"“{tags[0]}” is the most used of {summaries.headline['n_tags']:,} tags: {uses[0]:,} times, {notes[0]}.",
        horizontal_bars(tags, uses, notes, x_title="uses"),
        ("tag", "uses", "movies", "users"),
        rows_of(tags, whole(uses), whole(table["n_movies"]), whole(table["n_users"])),
    )


def _groups(summaries: Summaries, name: str, title: str, caption: str, head: str) -> Panel:
    from plotly.subplots import make_subplots

    table, scale = summaries.tables[name].to_pydict(), summaries.scale
    names, places = table["name"], list(range(len(table["name"])))
    figure = make_subplots(cols=2, shared_yaxes=True, column_widths=[0.64, 0.36], horizontal_spacing=0.05)
    figure.add_bar(
        x=table["n_ratings"],
        y=places,
        orientation="h",
        marker={"color": ACCENT},
        customdata=[f"{label}<br>{n:,} movies" for label, n in zip(escaped(names), table["n_movies"], strict=True)],
        hovertemplate=f"%{{customdata}}, %{{x:,}} {scale.row}s<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=table["mean_rating"],
        y=places,
        mode="markers",
        marker={"color": ACCENT_2, "size": 10},
        customdata=escaped(names),
        hovertemplate=f"%{{customdata}}<br>%{{x:.2f}} {scale.unit} on average<extra></extra>",
        row=1,
        col=2,
    )
    label_rows(figure, names)
    figure.update_layout(
        showlegend=False,
        xaxis={"title": {"text": f"{scale.row}s"}, "nticks": 5},
        xaxis2={"title": {"text": scale.mean}, "nticks": 4},
        yaxis2={"showgrid": True},
        height=height_of(len(names)),
        bargap=0.3,
    )
    return Panel(
        name,
        title,
        caption,
        specification(figure),
        (head, f"{scale.row}s", "movies", scale.mean),
        rows_of(names, whole(table["n_ratings"]), whole(table["n_movies"]), decimal(table["mean_rating"])),
    )
