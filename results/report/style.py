"""Colours, fonts and saving: what all figures share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from foundation.files import atomic_path

BASELINE = "#333333"
FAINT = "#b9b9b9"
# Okabe & Ito's colour-blind safe palette, without the yellow, which is too light for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4419", "#5A5A9C")
MARKERS = ("o", "s", "D", "P", "X", "h", "p", "d")
# The same colour in every report for optimizers that are compared often.
_RESERVED = {"VeLO (official)": 1, "VeLO": 0}


def looks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each optimizer; ones with the same place in the list look the same."""
    taken: dict[str, int] = {}
    for label in labels:
        place = next((i for name, i in _RESERVED.items() if label.startswith(name)), None)
        if place is not None and place not in taken.values():
            taken[label] = place
    free = iter([i for i in range(len(PALETTE)) if i not in taken.values()])
    for position, label in enumerate(labels):
        if label not in taken:
            taken[label] = next(free, position % len(PALETTE))
    return {label: (PALETTE[place], MARKERS[place]) for label, place in taken.items()}


@contextmanager
def velodrome_style() -> Iterator[None]:
    """Draws in our style whatever the user's matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        style.use(Path(__file__).parent / "velodrome.mplstyle")
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure in inches that belongs to no window system and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def wrapped(text: str, *, width_inches: float, size: float = 6.5) -> str:
    """Breaks a caption into lines that fit, at about 0.5 em a letter."""
    letters = max(20, int(width_inches * 72 / (0.53 * size)))
    return "\n".join(textwrap.wrap(text, letters))


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Writes ``stem``.png and .pdf, each whole or not at all; equal input gives equal bytes."""
    paths = []
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        path = stem.with_suffix(suffix)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
        paths.append(path)
    return paths[0], paths[1]
