"""Put a report's numbers and figures into one page of HTML.

The page needs no network and no script: with scripts its table sorts and filters, and tasks open
in a dialog; without them all of it can be read. Equal input gives equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.colours import PAGE_LIGHT, dark
from velodrome.results.report.figures.contents import SECTIONS
from velodrome.results.report.figures.style import BASELINE, FAINT, WIDE, series_styles
from velodrome.results.report.figures.svg import PageFigure
from velodrome.results.report.page.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from velodrome.results.report.page.contents import headlines, notes, tables
from velodrome.results.report.page.tables import PageTable, readable
from velodrome.results.report.page.tasks import STATUS_MEANING, columns, task_parts, task_rows
from velodrome.results.report.page.templates import HERE, style_sheet, templates
from velodrome.results.report.verdict import verdict_lines

_SCRIPTS = ("vendor/sortable.min.js", "page.js")

#: Name of the figure on the first screen.
LEAD = "speedup_steps"


@dataclass(frozen=True)
class Section:
    """A chapter of the page; ``folded`` notes open on a click."""

    anchor: str
    title: str
    figures: tuple[PageFigure, ...]
    tables: tuple[PageTable, ...]
    notes: tuple[str, ...]
    folded: bool


def build_page(data: ReportData, figures: Sequence[PageFigure]) -> str:
    """Build the page; ``figures`` are all but the learning curves, which the page draws itself."""
    styles = {label: x.color for label, x in series_styles(data.context.labels).items()}
    colours = set(styles.values()) | {BASELINE, FAINT, WIDE, "#000000", PAGE_LIGHT}
    colours = {c.lower() for c in colours}.union(*(figure.colours for figure in figures))
    # The figure that answers the question stands beside the verdict, and only there.
    lead = next((figure for figure in figures if figure.plot.name == LEAD), None)
    sections = _sections(data, [figure for figure in figures if figure is not lead])
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return templates().get_template("page.html.j2").render(
        context=data.context,
        synthetic="synthetic" in data.context.data,
        verdict=tuple(map(readable, verdict_lines(data))),
        lead=lead,
        headlines=headlines(data),
        sections=sections,
        tasks_after="speedup" if "speedup" in {s.anchor for s in sections} else "headline",
        columns=columns(data),
        rows=task_rows(data),
        parts=task_parts(data),
        statuses=STATUS_MEANING,
        styles=styles,
        style=style_sheet(),
        colours=sorted((colour, dark(colour)) for colour in colours),
        scripts=tuple(map(Markup, scripts)),
        hashes=tuple(map(_integrity, scripts)),
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "top": TOP, "right": RIGHT,
               "bottom": BOTTOM},
    )  # fmt: skip


def _sections(data: ReportData, figures: Sequence[PageFigure]) -> list[Section]:
    found = []
    for anchor, title in SECTIONS.items():
        mine = tuple(figure for figure in figures if figure.plot.section == anchor)
        section = Section(
            anchor,
            title,
            figures=mine,
            tables=tuple(tables(data, anchor)),
            notes=notes(data, anchor),
            folded=anchor == "headline",
        )
        if anchor == "curves" or mine or section.tables or section.notes:
            found.append(section)
    return found


def _integrity(script: str) -> str:
    """Return the hash by which the page's policy knows its own scripts; others do not run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
