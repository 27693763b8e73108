"""Figures in files: the same from one process and from several, and as matplotlib would save."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import pytest
from synthetic import Candidate, make

from velodrome.results.report.data import collect
from velodrome.results.report.figures.contents import plots
from velodrome.results.report.figures.drawing import arrange, draw_all, save
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.style import velodrome_style


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> list[Plot]:
    candidate = Candidate("one", [2.0, 4.0])
    made = make(tmp_path_factory.mktemp("store") / "s", [candidate], steps=50, rates=(1e-3, 3e-3))
    return list(plots(collect(made.store)))


@pytest.mark.long
def test_several_processes_draw_the_same(tmp_path: Path, drawing: list[Plot]):
    few = drawing[:1] + [plot for plot in drawing if plot.section == "curves"]
    alone = draw_all(few, tmp_path / "one")
    together = draw_all(few, tmp_path / "two", processes=2)
    for mine, theirs in zip(alone, together, strict=True):
        assert (mine.shown is None) == (theirs.shown is None)
        if mine.shown and theirs.shown:
            assert mine.shown.svg == theirs.shown.svg
        for first, second in zip(mine.files, theirs.files, strict=True):
            assert first.name == second.name
            assert first.read_bytes() == second.read_bytes()


def test_files_are_what_matplotlib_saves(tmp_path: Path, drawing: list[Plot]):
    plot = next(plot for plot in drawing if plot.name == "pairs")  # it has a picture inside
    with velodrome_style():
        figure = plot.draw()
        for path in save(figure, tmp_path / "ours"):
            without = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}
            metadata = without.get(path.suffix, {"Date": None, "Creator": None})
            figure.savefig(tmp_path / "theirs", format=path.suffix[1:], metadata=metadata)
            assert path.read_bytes() == (tmp_path / "theirs").read_bytes(), path.suffix


def test_captions_are_in_the_files_where_they_are_asked_for(tmp_path: Path, drawing: list[Plot]):
    plot = next(plot for plot in drawing if plot.name == "pairs")
    lengths = {}
    for name, asked in {
        "bare": {},
        "note": {"note": "Made up."},
        "full": {"captions": True},
    }.items():
        drawn = draw_all([plot], tmp_path / name, **asked)
        svg = next(path for path in drawn[0].files if path.suffix == ".svg")
        text = " ".join(re.sub(r"<[^>]*>", " ", svg.read_text(encoding="utf-8")).split())
        lengths[name] = len(text)
        assert ("Made up." in text) == (name == "note")
        assert (" ".join(plot.caption.split()[:4]) in text) == (name == "full")
    assert lengths["bare"] < lengths["note"] < lengths["full"]


def test_no_label_is_cut(drawing: list[Plot]):
    # Small text, as of many tasks, is wider at the resolution of files than at that of a screen.
    plot = next(plot for plot in drawing if plot.name == "sensitivity")
    with velodrome_style():
        figure = plot.draw()
        for label in figure.axes[0].get_yticklabels():
            label.set_text(label.get_text() + "-transformer-39b8cdf1")
            label.set_fontsize(5)
        arrange(figure)
        figure.dpi = matplotlib.rcParams["savefig.dpi"]
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
    assert box.x0 > 0 and box.y0 > 0 and box.x1 < width and box.y1 < height
