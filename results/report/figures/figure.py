"""What a figure of a report is: its numbers, its words, and how it is drawn."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.style import add_caption, velodrome_style
from velodrome.results.speedup.taskresult import Split, Unit

SECTIONS = {
    "headline": "Headline",
    "speedup": "Speedup over tasks",
    "families": "By family",
    "curves": "Learning curves",
    "tuning": "Learning rates and tuning",
    "profiles": "Performance profiles and pairs",
    "overhead": "Overhead",
    "time": "Time to loss",
    "failures": "Failures and provenance",
}
"""The numbered contents of a report, in their order, by the name that a plot's section gives."""


SATURATED_OUT = "Saturated tasks are left out."


def counts_drawn(data: ReportData, *, unit: Unit = "steps", split: Split = "train") -> str:
    """How many tasks of each optimizer a figure without saturated tasks draws, for its caption.

    Args:
      data: the report.
      unit: of the speedups drawn.
      split: whose losses are compared.
    """
    parts = []
    for found in data.headlines:
        if (found.scope, found.unit, found.split) != ("headline", unit, split):
            continue
        planned = f" of {found.planned}" if found.planned != found.tasks else ""
        many = "s" * (found.planned != 1)
        told = {k: v for k, v in found.counts.items() if v and k != "censored"}
        counts = "".join(f", {count} {what}" for what, count in told.items())
        parts.append(
            f"{found.label}: {found.tasks}{planned} task{many}, {found.counts['censored']} "
            f"censored{counts}."
        )
    return " ".join(parts)


_WIDTH = 130
"""Pixels of a notebook's page for an inch: its text is then as large as the notebook's own."""
_DENSITY = 2
"""Pixels of the picture for each of these: dense screens show them."""


@dataclass(frozen=True)
class Plot:
    """One figure of a report, not drawn yet.

    Attributes:
      name: stem of its files, such as ``speedup_steps``.
      section: a key of :data:`SECTIONS`.
      title: a few words.
      caption: everything a reader needs, with the line on suite, protocol and data.
      alt: the main numbers in words, for those who do not see the figure.
      table: its numbers, tidy, saved as CSV beside it.
      draw: makes the figure, without caption; call it inside
        ``velodrome.results.report.figures.style.velodrome_style``, or call :meth:`figure`.
    """

    name: str
    section: str
    title: str
    caption: str
    alt: str
    table: pd.DataFrame = field(repr=False)
    draw: Callable[[], Figure] = field(repr=False)

    def figure(self, *, caption: bool = False) -> Figure:
        """Draws it in the report's style, to be changed or saved by the means of matplotlib.

        Args:
          caption: whether the caption stands below.
        """
        with velodrome_style():
            figure = self.draw()
            if caption:
                add_caption(figure, self.caption)
        return figure

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The figure with its caption, as notebooks ask for it."""
        figure = self.figure(caption=True)
        file = io.BytesIO()
        with velodrome_style():
            figure.savefig(file, format="png", dpi=_DENSITY * _WIDTH)
        return file.getvalue(), {"width": round(_WIDTH * figure.get_figwidth())}
