"""What a figure of a report is: its numbers, its words, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

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
        ``results.report.style.velodrome_style``.
    """

    name: str
    section: str
    title: str
    caption: str
    alt: str
    table: pd.DataFrame
    draw: Callable[[], Figure]
