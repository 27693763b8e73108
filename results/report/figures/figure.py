"""One figure of a report: its numbers, its words, and how it is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from velodrome.results.report.figures.style import add_caption, velodrome_style

SATURATED_OUT = "Saturated tasks, and those without progress, are left out."
# Pixels of a notebook's page for an inch: text in figures is then as large as the notebook's.
_WIDTH = 130
# Pixels of the picture for each of these, for dense screens.
_DENSITY = 2


@dataclass(frozen=True)
class Plot:
    """One figure, not drawn yet.

    Attributes:
      name: Stem of its files, such as ``speedup_steps``.
      section: A key of ``velodrome.results.report.figures.contents.SECTIONS``.
      title: A few words.
      caption: Everything a reader needs, with the line on suite, protocol and data.
      alt: The main numbers in words, for those who do not see the figure.
      table: Its numbers, tidy, saved as CSV beside it.
      draw: Makes the figure without its caption, in matplotlib's present style; :meth:`figure`
        draws it in the report's style.
    """

    name: str
    section: str
    title: str
    caption: str
    alt: str
    table: pd.DataFrame = field(repr=False)
    draw: Callable[[], Figure] = field(repr=False)

    def figure(self, *, caption: bool = False) -> Figure:
        """Draw it in the report's style; matplotlib can then change or save it."""
        with velodrome_style():
            figure = self.draw()
            if caption:
                add_caption(figure, self.caption)
        return figure

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Draw the figure with its caption, as notebooks ask for it."""
        figure = self.figure(caption=True)
        file = io.BytesIO()
        with velodrome_style():
            figure.savefig(file, format="png", dpi=_DENSITY * _WIDTH)
        return file.getvalue(), {"width": round(_WIDTH * figure.get_figwidth())}


def pages(tasks: Sequence[object], most: int) -> Iterator[tuple[str, str, Sequence[object]]]:
    """Spread tasks evenly over figures of at most ``most``.

    Yields:
      What a figure's name and its title end with, and its tasks.
    """
    count = math.ceil(len(tasks) / most)
    size = math.ceil(len(tasks) / max(1, count))
    for page in range(count):
        chosen = tasks[page * size : (page + 1) * size]
        yield (
            f"_{page + 1}" if count > 1 else "",
            f", page {page + 1} of {count}" if count > 1 else "",
            chosen,
        )
