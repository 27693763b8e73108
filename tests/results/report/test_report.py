"""A whole report: its headline, its files, its text, and what it says about its data."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from synthetic import Candidate, Made, make

import velodrome
from velodrome.foundation.errors import StoreError
from velodrome.results.report import ReportFiles, print_report
from velodrome.results.report.text import markdown


def test_the_headline(files: ReportFiles):
    data = files.data
    found = {(h.scope, h.unit): h for h in data.headlines if h.split == "train"}
    headline = found["headline", "steps"]
    assert (headline.tasks, headline.planned, headline.seeds) == (5, 8, 3)
    assert headline.counts == {
        "censored": 1, "diverged": 1, "saturated": 1, "no progress": 0, "incomplete": 0,
        "failed": 1, "missing": 1,
    }  # fmt: skip
    # Diverged, 1, 2, 4 and at least 5.
    assert headline.median.value == pytest.approx(2.0, rel=0.05)
    assert (
        headline.median.same_tasks.low <= headline.median.value <= headline.median.same_tasks.high
    )
    assert not headline.median.lower_bound  # 1 of 5 is censored, and it is not the median
    assert headline.faster[4.0].value in (0.2, 0.4)  # the one of 4x may be seen at 3.98x
    assert set(headline.faster) == {1.0, 2.0, 4.0}  # nothing can exceed 5x
    everything = found["all", "steps"]
    assert (everything.tasks, everything.planned) == (6, 8)
    assert found["headline", "seconds"].tasks == 4


def test_files(files: ReportFiles):
    names = {path.name for path in files.directory.iterdir()}
    stems = (
        "headline", "speedup_steps", "speedup_seconds", "speedup_heldout",
        "families_steps", "families_seconds", "learning_curves", "sensitivity", "tuning",
        "profile", "pairs", "overhead", "time_to_loss", "anytime",
    )  # fmt: skip
    assert names == {
        *(f"{stem}{suffix}" for stem in stems for suffix in (".png", ".pdf", ".svg", ".csv")),
        *(f"{name}.csv" for name in (
            "summary", "definitions", "families", "profile_scores", "failures", "provenance",
            "specs", "tuning_cost",
        )),
        "report.md", "index.html",
    }  # fmt: skip
    for path in files.figures:
        start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[path.suffix]
        assert path.read_bytes().startswith(start)
    table = pd.read_csv(files.directory / "speedup_steps.csv")
    assert list(table["percentile"]) == [10, 30, 50, 70, 90]
    assert (np.diff(table["speedup"]) >= 0).all() and set(table["censored"]) == {"no", "right"}
    curves = pd.read_csv(files.directory / "learning_curves.csv")
    assert set(curves["series"]) == {"rate", "best", "envelope", "seed"}
    envelope = curves[(curves["series"] == "envelope") & (curves["index"] == 0)]
    assert (np.diff(envelope["loss"]) <= 0).all()


def test_markdown_lists_everything(files: ReportFiles):
    data = files.data
    text = markdown(data)
    for task in data.summary["task"]:
        assert task in text
    for word in (
        "VeLO (velo-tiny)", "stand-in data", ">=5x", "diverged", "saturated", "out of memory",
        "has not been run", "cannot exceed 5x", "Beware: `paper`", "strict:", "all tasks",
    ):  # fmt: skip
        assert word in text, word
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(data, console=console)
    printed = " ".join(console.export_text().split())
    for word in (">=5x", "out of memory", "saturated", "strict:"):
        assert word in printed, word


def test_nothing_run_yet(tmp_path: Path):
    everything = [(name, 0) for name in ("adam", "velo")]
    make(tmp_path, [Candidate("velo", [2.0])], missing=everything)
    files = velodrome.report(tmp_path)
    assert list(files.data.summary["status"]) == ["missing"]


def test_no_store(tmp_path: Path):
    with pytest.raises(StoreError, match="not a result store"):
        velodrome.report(tmp_path)


SAME = ("profile", "pairs", "summary", "report")


#: Jupyter names a backend of its own, also for commands of another Python, which may not have it.
BACKEND = "module://no_such.backend"


@pytest.mark.slow
def test_commands_that_read_stores_need_no_jax_and_write_the_same_again(
    made: Made, files: ReportFiles, tmp_path: Path
):
    store, copy = str(made.store.directory), str(tmp_path / "copy")
    shutil.copytree(store, copy)
    parts = "tables,curves,headline"
    parts += ",tensorboard" if importlib.util.find_spec("tensorboardX") else ""
    program = (
        "import os, sys\n"
        "from velodrome.cli import main\n"
        "from velodrome.results.report.figures import contents\n"
        # Figures take most of the time.
        "contents.MODULES = (contents.profiles,)\n"
        f"assert main(['report', {store!r}, '--out', {str(tmp_path / 'report')!r}]) == 0\n"
        f"assert main(['compare', {store!r}, {copy!r}]) == 0\n"
        f"assert main(['export', {copy!r}, '--parts', {parts!r}]) == 0\n"
        "bad = {'jax', 'flax', 'optax', 'matplotlib.pyplot', 'tensorflow', 'torch'}\n"
        "assert not bad & set(sys.modules), bad & set(sys.modules)\n"
        f"assert os.environ['MPLBACKEND'] == {BACKEND!r}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": BACKEND},
    )
    assert done.returncode == 0, done.stderr
    again = [path for path in (tmp_path / "report").iterdir() if path.stem in SAME]
    assert len(again) == 2 * 4 + 2
    for path in again:
        assert path.read_bytes() == (files.directory / path.name).read_bytes(), path.name


LABEL = "stand-in data"


def words(figure: Path) -> str:
    """The text of a figure, whose lines are separate elements."""
    return " ".join(re.sub(r"<[^>]*>", " ", figure.read_text(encoding="utf-8")).split())


def test_every_figure_says_that_the_data_are_stand_ins(files: ReportFiles):
    figures = [path for path in files.figures if path.suffix == ".svg"]
    assert len(figures) > 10
    assert [path.name for path in figures if LABEL not in words(path)] == []


def test_the_page_and_the_text_say_so_before_any_number(files: ReportFiles):
    page = files.page.read_text(encoding="utf-8")
    body = re.sub(r"<(style|script|head).*?</\1>", "", page, flags=re.DOTALL)
    for shown in (body, files.markdown.read_text(encoding="utf-8")):
        first = re.search(r"\d\.\d\dx", shown)
        assert first and LABEL in shown[: first.start()]


def test_tables_of_results_say_so(files: ReportFiles):
    for name in ("headline", "summary"):
        table = files.directory / f"{name}.csv"
        header, *rows = table.read_text(encoding="utf-8").splitlines()
        assert "provenance" in header and rows
        assert all("stand-in" in row for row in rows)
