"""Colours, fonts and saving: what all figures share."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from velodrome.foundation.files import atomic_path

BASELINE = "#333333"
FAINT = "#c4c4c4"
WIDE = "#8f8f8f"
# Okabe & Ito's colour-blind safe palette, without the yellow, which is too light for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4419", "#5A5A9C")
# No crosses and no triangles: they mean "diverged" and "at least this much".
MARKERS = ("o", "s", "D", "P", "*", "h", "p", "d")
# The same colour in every report for optimizers that are compared often: there are more baselines
# than colours, so the others take what a report has left.
_RESERVED = {
    "VeLO (official)": 1, "VeLO": 0, "AdamW": 3, "SGD + momentum": 4, "Lion": 5, "Muon": 6,
    "Schedule-Free AdamW": 7,
}  # fmt: skip
_LETTERS = 40
# A letter of this font is about so many times as wide as the font's size.
_LETTER = 0.53


def looks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each optimizer; ones with the same place in the list look the same."""
    taken: dict[str, int] = {}
    for label in labels:
        place = next((i for name, i in _RESERVED.items() if label.startswith(name)), None)
        if place is not None and place not in taken.values():
            taken[label] = place
    # VeLO's own colour goes to another optimizer last.
    free = iter([i for i in (*range(1, len(PALETTE)), 0) if i not in taken.values()])
    for position, label in enumerate(labels):
        if label not in taken:
            taken[label] = next(free, position % len(PALETTE))
    return {label: (PALETTE[place], MARKERS[place]) for label, place in taken.items()}


def handles(styles: Mapping[str, tuple[str, str]], **line: Any) -> list[Line2D]:
    """Entries of a legend by label.

    Args:
      styles: colour and marker, see :func:`looks`.
      line: of ``matplotlib.lines.Line2D``; by default marks without a line.
    """
    line = line or {"markersize": 4, "linestyle": ""}
    names = short_labels(list(styles))
    return [
        Line2D([], [], color=color, marker=marker, label=names[label], **line)
        for label, (color, marker) in styles.items()
    ]


def short_labels(labels: Sequence[str]) -> dict[str, str]:
    """What stands for each label in a figure: one line of at most 40 letters.

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
    """How many letters of a font of ``size`` points stand side by side."""
    return max(1, int(inches * 72 / (_LETTER * size)))


def inches_of(letters: int, size: float) -> float:
    """How wide so many letters of a font of ``size`` points are."""
    return letters * _LETTER * size / 72


def axis_label(text: str, inches: float) -> str:
    """Wraps the label of an axis to the axis's length: layouts make no room for longer ones."""
    return "\n".join(
        part for line in text.split("\n") for part in textwrap.wrap(line, letters_of(inches, 8.0))
    )


def legend_above(figure: Figure, entries: Sequence[Line2D], *, columns: int = 3) -> None:
    """The legend of a whole figure, above everything; the figure grows by its height.

    Args:
      figure: everything else is in it.
      entries: of the legend.
      columns: at most so many; fewer where the entries are too wide for the figure.
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


def add_caption(figure: Figure, text: str, *, size: float = 6.5) -> None:
    """Makes the figure taller by a wrapped caption, which stands below everything."""
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


def save(figure: Figure, stem: Path, *, caption: str = "") -> tuple[Path, ...]:
    """Writes ``stem``.png, .pdf and .svg, each whole or not at all.

    Equal input gives equal bytes. Text stays text in PDF and SVG.

    Args:
      figure: arranged here, and not to be changed afterwards.
      stem: the path without a suffix.
      caption: set below the figure.
    """
    if caption:
        add_caption(figure, caption)
    arrange(figure)
    paths = []
    for suffix in _METADATA:
        path = stem.with_name(stem.name + suffix)
        with atomic_path(path) as temporary:
            _print(figure, suffix, temporary)
        paths.append(path)
    return tuple(paths)


def arrange(figure: Figure) -> None:
    """Lays the figure out once: that is most of the work, and the same for all formats."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    # The solver's last digits depend on addresses in memory; files should not.
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))
        axes.set_in_layout(True)  # another layout, with a caption, may follow


def svg(figure: Figure) -> str:
    """The figure without a caption as an SVG document, for a page of HTML."""
    arrange(figure)
    file = io.StringIO()
    _print(figure, ".svg", file)
    return file.getvalue()


def _print(figure: Figure, suffix: str, file: Path | io.StringIO) -> None:
    """What ``savefig`` does with an arranged figure, without laying it out once more."""
    metadata, dpi = _METADATA[suffix], figure.dpi
    figure.dpi = matplotlib.rcParams["savefig.dpi"]
    if suffix == ".png":
        FigureCanvasAgg(figure).print_png(file, metadata=metadata)
    elif suffix == ".pdf":
        FigureCanvasPdf(figure).print_pdf(file, metadata=metadata)
    else:
        FigureCanvasSVG(figure).print_svg(file, metadata=metadata)
    figure.dpi = dpi
    FigureCanvasAgg(figure)  # another layout measures its text with this one


# Without dates and versions, so that equal input gives equal bytes.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None, "Creator": None},
}
