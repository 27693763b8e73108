"""The templates and the style sheet that the pages share."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent


def templates() -> jinja2.Environment:
    """Return the templates in this folder; what is put into them is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def style_sheet() -> Markup:
    return Markup((HERE / "page.css").read_text(encoding="utf-8"))
