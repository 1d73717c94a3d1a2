"""Building blocks of the figures: bars, rows with labels, and numbers as text.

Colours of text, grid and ground are left to the page, which follows the reader's light or dark setting. Labels that may
be long (titles) are given in the layout's ``meta.labels``; the page shortens them to the width at hand.
"""

from typing import TYPE_CHECKING, Any

from recsys.pages.charts import specification
from recsys.pages.rendering import ACCENT

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_ROW_HEIGHT = 27  # pixels per bar of a horizontal figure


def vertical_bars(
    labels: list[str], values: list[int], shares: list[float], *, x_title: str, y_title: str, tick_angle: int = 0
) -> dict[str, Any]:
    """Vertical bars, each with its share above it."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_bar(
        x=labels,
        y=values,
        customdata=percent(shares),
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
    return specification(figure)


def horizontal_bars(labels: list[str], values: list[int], notes: list[str], *, x_title: str) -> dict[str, Any]:
    """Horizontal bars, the first label on top, each value at its end."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=list(range(len(labels))),
        orientation="h",
        text=whole(values),
        textposition="auto",
        insidetextfont={"color": "#ffffff"},
        textangle=0,
        marker={"color": ACCENT},
        customdata=[f"{label}<br>{note}" for label, note in zip(escaped(labels), notes, strict=True)],
        hovertemplate=f"%{{customdata}}<br>%{{x:,}} {x_title}<extra></extra>",
    )
    label_rows(figure, labels)
    figure.update_layout(xaxis={"title": {"text": x_title}}, height=height_of(len(labels)), bargap=0.25)
    return specification(figure)


def label_rows(figure: "Figure", labels: list[str]) -> None:
    """Rows at whole numbers with the labels as ticks: two movies of one title stay two rows."""
    figure.update_layout(
        meta={"labels": labels},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": escaped(labels),
            "range": [len(labels) - 0.4, -0.6],
            "showgrid": False,
        },
    )


def height_of(n_rows: int) -> int:
    return 80 + _ROW_HEIGHT * max(3, n_rows)


def escaped(labels: list[str]) -> list[str]:
    """Plotly reads a few HTML tags and entities in text; titles must not be read as such.

    >>> escaped(["Fast & <b>Furious</b>"])
    ['Fast &amp; &lt;b&gt;Furious&lt;/b&gt;']
    """
    return [label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for label in labels]


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "user"), counted(1200, "user")
    ('1 user', '1,200 users')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def rows_of(*columns: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*columns, strict=True))


def whole(values: list[int]) -> list[str]:
    return [f"{value:,}" for value in values]


def decimal(values: list[float | None]) -> list[str]:
    return ["–" if value is None else f"{value:.2f}" for value in values]


def percent(values: list[float], digits: int = 1) -> list[str]:
    return [f"{value:.{digits}%}" for value in values]
