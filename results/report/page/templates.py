"""The templates and the style sheet that the pages share."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

HERE = Path(__file__).parent

_POWER = re.compile(r"\d[\d.]*e-\d+")


def templates() -> jinja2.Environment:
    """Return the templates in this folder; what is put into them is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["unbroken"] = unbroken
    return found


def unbroken(text: str) -> Markup:
    """Escape a text, and keep numbers such as ``3e-2`` whole: a browser breaks at the hyphen."""
    return Markup(_POWER.sub(r'<span class="unbroken">\g<0></span>', str(escape(text))))


def style_sheet() -> Markup:
    return Markup((HERE / "page.css").read_text(encoding="utf-8"))
