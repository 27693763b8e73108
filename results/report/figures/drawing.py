"""Draw figures into files, one after another or in several processes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import joblib
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from velodrome.foundation.files import atomic_path
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.style import add_caption, velodrome_style
from velodrome.results.report.figures.svg import PageFigure, page_figure

#: Number of tasks from which on several processes draw: their start takes some seconds.
PARALLEL_FROM = 24
# Without dates and versions, so that equal input gives equal bytes.
_METADATA: Mapping[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None, "Creator": None},
}


@dataclass(frozen=True)
class Drawn:
    """The files of a figure, and its form for the page; learning curves the page draws itself."""

    files: tuple[Path, ...]
    shown: PageFigure | None


def draw(plot: Plot, target: Path, *, captions: bool = False, note: str = "") -> Drawn:
    """Draw one figure into a directory, with its caption in the picture or else with ``note``.

    Raises:
      VelodromeError: A file cannot be written.
    """
    with velodrome_style():
        figure = plot.draw()
        shown = None if plot.section == "curves" else page_figure(plot, svg(figure))
        caption = plot.caption if captions else note
        return Drawn(save(figure, target / plot.name, caption=caption), shown)


def draw_all(
    plots: Iterable[Plot],
    target: Path,
    *,
    captions: bool = False,
    note: str = "",
    processes: int = 1,
) -> list[Drawn]:
    """Draw figures in their order; the files do not depend on the number of processes."""
    one = partial(draw, target=target, captions=captions, note=note)
    if processes <= 1:
        return [one(plot) for plot in plots]
    # The standard library's processes would run the user's script once more from its top.
    drawn = joblib.Parallel(processes)(joblib.delayed(one)(plot) for plot in plots)
    return cast(list[Drawn], drawn)


def processes_for(tasks: int) -> int:
    """Return how many processes draw the report of a number of tasks."""
    return joblib.cpu_count() if tasks >= PARALLEL_FROM else 1


def save(figure: Figure, stem: Path, *, caption: str = "") -> tuple[Path, ...]:
    """Write ``stem``.png, .pdf and .svg, each whole or not at all; do not change the figure later.

    Equal input gives equal bytes. Text stays text in PDF and SVG.
    """
    if caption:
        add_caption(figure, caption)
    arrange(figure, captioned=bool(caption))
    paths = []
    for suffix in _METADATA:
        path = stem.with_name(stem.name + suffix)
        with atomic_path(path) as temporary:
            _print(figure, suffix, temporary)
        paths.append(path)
    return tuple(paths)


def arrange(figure: Figure, *, captioned: bool = False) -> None:
    """Lay the figure out once: that is most of the work, and the same for all formats.

    A figure that is ``captioned`` is laid out at its own resolution, at which `add_caption` has
    measured it. Others at that of the files: small text is wider there, and labels would be cut.
    """
    dpi = figure.dpi
    if not captioned:
        figure.dpi = matplotlib.rcParams["savefig.dpi"]
    figure.draw_without_rendering()
    figure.dpi = dpi
    figure.set_layout_engine("none")
    # The solver's last digits depend on addresses in memory; files should not.
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))
        axes.set_in_layout(True)  # another layout, with a caption, may follow


def svg(figure: Figure) -> str:
    """Draw the figure, without a caption, as an SVG document for a page of HTML."""
    arrange(figure)
    file = io.StringIO()
    _print(figure, ".svg", file)
    return file.getvalue()


def _print(figure: Figure, suffix: str, file: Path | io.StringIO) -> None:
    """Do what ``savefig`` does with an arranged figure, without laying it out once more."""
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
