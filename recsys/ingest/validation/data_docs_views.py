"""The views that render Data Docs with this project's templates; Great Expectations loads this module by its name.

Their templates stand in `recsys/pages/data_docs` and come before the library's of the same name.
"""

import html
from pathlib import Path
from typing import Any

from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context

from recsys.pages import rendering

_TEMPLATES = Path(rendering.__file__).parent / "data_docs"


class PageView(DefaultJinjaPageView):  # type: ignore[misc]
    """A page of a suite or of its results."""

    def __init__(self, **directories: Any) -> None:
        super().__init__(**directories)
        self.env.loader = ChoiceLoader([FileSystemLoader(_TEMPLATES), self.env.loader])
        self.env.globals.update(accent=rendering.ACCENT, accent_2=rendering.ACCENT_2)

    @pass_context
    def render_content_block(self, jinja_context: Any, content_block: Any, *args: Any, **kwargs: Any) -> Any:
        # The library passes text through as markup. Sample values are text of the data: a title may hold a script.
        if isinstance(content_block, str):
            return html.escape(content_block)
        return super().render_content_block(jinja_context, content_block, *args, **kwargs)


class IndexView(PageView, DefaultJinjaIndexPageView):  # type: ignore[misc]
    """The first page: every run, and every suite."""
