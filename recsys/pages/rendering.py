"""One look for every HTML page: the shared base template with its style, and the function that fills a template.

Pages are self-contained: style is inline, nothing is fetched. Values are escaped; a template that names a value it
was not given fails instead of leaving a gap.
"""

from pathlib import Path
from typing import Any

# Blue and orange stay apart for every common colour blindness; both keep 3:1 on white and on the dark ground.
ACCENT = "#2f7ec7"
ACCENT_2 = "#d8700f"


def render(template: str, **context: Any) -> str:
    """Fill a template of this folder with values.

    Args:
        template: file name, such as ``validation.html``; templates extend ``base.html``.
        context: what the template names.

    >>> "&lt;script&gt;" in render("base.html", title="<script>")
    True
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.globals.update(accent=ACCENT, accent_2=ACCENT_2)
    return environment.get_template(template).render(**context)


def _number(value: float, digits: int = 0) -> str:
    """A number with thousands separators.

    >>> _number(1234567), _number(3.14159, 2)
    ('1,234,567', '3.14')
    """
    return f"{value:,.{digits}f}"
