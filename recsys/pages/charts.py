"""Interactive figures inside a self-contained page: the panel, plotly.js packed to travel within, and its data.

plotly.js is 4.8 MB as it comes. Compressed with gzip and written as base64 it takes 1.96 MB, and every browser since
2023 inflates it itself (``DecompressionStream``). Tried and left: LZMA (1.49 MB, but browsers have no decoder for it),
and the smaller builds of plotly.js, which its Python package does not carry. Without scripts, or where inflating fails,
the tables of numbers stand open instead of the figures. The template ``charts.html`` draws what is made here.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Panel:
    """One figure of a page.

    Attributes:
        name: its anchor in the page.
        caption: what it shows, the key number in words.
        spec: plotly's ``{"data": [...], "layout": {...}}``, plain JSON values.
        header: column heads of the data table.
        rows: its cells, formatted; numbers are right-aligned by the page from the second column on.
        is_wide: takes the whole width.
    """

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    is_wide: bool = False


def specification(figure: "Figure") -> dict[str, Any]:
    """A figure as plain JSON values, its look left to the page, which follows the reader's light or dark setting."""
    figure.update_layout(template="none")
    spec: dict[str, Any] = json.loads(figure.to_json())
    spec["layout"].pop("template", None)
    return spec


def figures_json(panels: Sequence[Panel]) -> "Markup":
    r"""The specifications by name, as JSON that cannot end the script element it stands in.

    >>> figures_json([Panel("a", "", "", {"data": ["</script>"]}, (), [])])
    Markup('{"a":{"data":["\\u003c/script>"]}}')
    """
    from markupsafe import Markup

    specs = {panel.name: panel.spec for panel in panels}
    text = json.dumps(specs, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - "<" is escaped in it


@cache
def library() -> "Markup":
    """plotly.js as base64 of gzip; the same bytes every time."""
    import plotly
    from markupsafe import Markup

    source = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    return Markup(base64.b64encode(gzip.compress(source, 9, mtime=0)).decode("ascii"))  # noqa: S704 - base64
