"""How optimizers look in figures: colours, markers, labels and legends."""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


class SeriesStyle(NamedTuple):
    """Colour and marker of one optimizer."""

    color: str
    marker: str


BASELINE = "#333333"
BASELINE_STYLE = SeriesStyle(BASELINE, "o")
FAINT = "#c4c4c4"
WIDE = "#8f8f8f"
# Okabe & Ito's colour-blind safe palette, without the yellow, which is too light for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4419", "#5A5A9C")
# No crosses and no triangles: they mean "diverged" and "at least this much".
MARKERS = ("o", "s", "D", "P", "*", "h", "p", "d")
# Optimizers that are compared often have the same colour in every report. There are more
# baselines than colours, so the other baselines take what a report has left.
_RESERVED = {
    "VeLO (official)": 1, "VeLO": 0, "AdamW": 3, "SGD + momentum": 4, "Lion": 5, "Muon": 6,
    "Schedule-Free AdamW": 7,
}  # fmt: skip
_LETTERS = 40
# The width of an average letter over the font's size.
_LETTER = 0.53


def series_styles(
    labels: Sequence[str], shown: Iterable[str] | None = None
) -> dict[str, SeriesStyle]:
    """Choose the style of each optimizer of a report.

    Args:
      labels: All of them, so that an optimizer looks the same in all figures of a report.
      shown: Leave out those that are not in here.
    """
    taken: dict[str, int] = {}
    for label in labels:
        place = next((i for name, i in _RESERVED.items() if label.startswith(name)), None)
        if place is not None and place not in taken.values():
            taken[label] = place
    # VeLO's own colour goes to another optimizer last.
    colors = len(PALETTE)
    places = itertools.chain(range(1, colors), (0,), itertools.count(colors))
    free = (i for i in places if i not in taken.values())
    for label in labels:
        if label not in taken:
            taken[label] = next(free)
    wanted = set(labels if shown is None else shown)
    return {label: _style(taken[label]) for label in labels if label in wanted}


def _style(place: int) -> SeriesStyle:
    """Return a style: beyond the palette its colours come again, darker, and then lighter."""
    around, color = divmod(place, len(PALETTE))
    shade = PALETTE[color]
    if around:
        red, green, blue = (0.55 * part + 0.45 * (1 - around % 2) for part in to_rgb(shade))
        shade = to_hex((red, green, blue))
    return SeriesStyle(shade, MARKERS[(color + 3 * around) % len(MARKERS)])


def slots(count: int, width: float = 0.8) -> np.ndarray:
    """Return centres of ``count`` marks that share a row or column of this width, around 0."""
    return (np.arange(count) - (count - 1) / 2) * width / count


def handles(styles: Mapping[str, SeriesStyle], **line: Any) -> list[Line2D]:
    """Return legend entries, by default marks without a line; ``line`` goes to ``Line2D``."""
    line = line or {"markersize": 4, "linestyle": ""}
    names = short_labels(list(styles))
    return [
        Line2D([], [], color=color, marker=marker, label=names[label], **line)
        for label, (color, marker) in styles.items()
    ]


def short_labels(labels: Sequence[str]) -> dict[str, str]:
    """Shorten labels to one line of at most 40 letters.

    Longer labels lose their middle; those that would then read the same are wrapped instead.
    """
    whole = {label: " ".join(label.split()) for label in labels}
    short = {label: _without_middle(text) for label, text in whole.items()}
    read = Counter(short.values())
    return {
        label: name if read[name] == 1 else textwrap.fill(whole[label], _LETTERS)
        for label, name in short.items()
    }


def _without_middle(text: str) -> str:
    if len(text) <= _LETTERS:
        return text
    return f"{text[: _LETTERS - 15].rstrip()}…{text[-14:].lstrip()}"


def letters_of(inches: float, size: float) -> int:
    """Return how many letters of a font of ``size`` points fit side by side."""
    return max(1, int(inches * 72 / (_LETTER * size)))


def inches_of(letters: int, size: float) -> float:
    """Return the width of some letters of a font of ``size`` points."""
    return letters * _LETTER * size / 72


def axis_label(text: str, inches: float) -> str:
    """Wrap the label of an axis of this length: layouts make no room for longer labels."""
    return "\n".join(
        part for line in text.split("\n") for part in textwrap.wrap(line, letters_of(inches, 8.0))
    )


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name rows at 0, 1, ... from top to bottom, with a fine line between them."""
    for place in range(1, len(names)):
        axes.axhline(place - 0.5, color="#d8d8d8", linewidth=0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def legend_above(figure: Figure, entries: Sequence[Line2D], *, columns: int = 3) -> None:
    """Put a legend above everything else in a figure, which grows by its height.

    It has at most this many columns, fewer where the entries are too wide for the figure.
    """
    width, height = figure.get_size_inches()
    legend = None
    for count in range(min(columns, max(1, len(entries))), 0, -1):
        if legend is not None:
            legend.remove()
        legend = figure.legend(
            handles=list(entries), loc="outside upper left", ncols=count, columnspacing=1.4
        )
        found = legend.get_window_extent()
        if found.width <= 0.98 * width * figure.dpi:
            break
    if legend is not None:
        figure.set_size_inches(width, height + legend.get_window_extent().height / figure.dpi)


@contextmanager
def velodrome_style() -> Iterator[None]:
    """Draw in our style, whatever the user's matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        style.use(Path(__file__).parent / "velodrome.mplstyle")
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make a figure, in inches, that belongs to no window system and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_caption(figure: Figure, text: str, *, size: float = 6.5) -> None:
    """Make the figure taller by a wrapped caption, which stands below everything."""
    width, height = figure.get_size_inches()
    letters = max(20, letters_of(0.97 * width, size))
    # "stand-in data" must stay one word for those who search a file.
    lines = textwrap.wrap(text, letters, break_on_hyphens=False)
    margin = len(lines) * 1.25 * size / 72 + 0.08
    figure.set_size_inches(width, height + margin)
    share = margin / (height + margin)
    figure.set_layout_engine("constrained", rect=(0.012, share, 0.978, 1 - share))
    figure.text(
        0.012, 0.04 / height, "\n".join(lines), fontsize=size, color="#555555",
        va="bottom", ha="left", linespacing=1.2,
    )  # fmt: skip
