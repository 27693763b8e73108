"""A whole report: its headline, its files, its text."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from synthetic import Candidate, Made, eventful, make

import velodrome
from velodrome.foundation.errors import StoreError
from velodrome.results.report import ReportFiles, print_report
from velodrome.results.report.text import markdown


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return eventful(tmp_path_factory.mktemp("store") / "s")


@pytest.fixture(scope="module")
def files(made: Made, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return velodrome.report(made.store.directory, tmp_path_factory.mktemp("report"))


def test_the_headline(files: ReportFiles):
    data = files.data
    found = {(h.scope, h.unit): h for h in data.headlines if h.split == "train"}
    headline = found["headline", "steps"]
    assert (headline.tasks, headline.planned, headline.seeds) == (5, 7, 3)
    assert headline.counts == {
        "censored": 1, "diverged": 1, "saturated": 0, "incomplete": 0, "failed": 1, "missing": 1,
    }  # fmt: skip
    # Diverged, 1, 2, 4 and at least 5.
    assert headline.median.value == pytest.approx(2.0, rel=0.05)
    assert (
        headline.median.same_tasks.low <= headline.median.value <= headline.median.same_tasks.high
    )
    assert not headline.median.lower_bound  # 1 of 5 is censored, and it is not the median
    assert headline.faster[4.0].value in (0.2, 0.4)  # the one of 4x may be seen at 3.98x
    assert headline.faster[16.0].lower_bound
    everything = found["all", "steps"]
    assert (everything.tasks, everything.planned) == (6, 8)
    assert found["headline", "seconds"].tasks == 4


def test_files(files: ReportFiles):
    names = {path.name for path in files.directory.iterdir()}
    stems = (
        "headline", "speedup_steps", "speedup_seconds", "speedup_cost", "speedup_heldout",
        "families_steps", "families_seconds", "learning_curves", "sensitivity", "tuning",
        "profile", "pairs", "overhead", "time_to_loss", "anytime",
    )  # fmt: skip
    assert names == {
        *(f"{stem}{suffix}" for stem in stems for suffix in (".png", ".pdf", ".svg", ".csv")),
        *(f"{name}.csv" for name in (
            "summary", "definitions", "families", "profile_scores", "failures", "provenance",
            "specs",
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
        "VeLO (velo-tiny)", "built-in real data", ">=5x", "diverged", "saturated", "out of memory",
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


@pytest.mark.slow
def test_a_report_needs_no_jax_and_is_the_same_again(
    made: Made, files: ReportFiles, tmp_path: Path
):
    program = (
        "import sys, velodrome.results.report as r\n"
        f"r.print_report(r.report({str(made.store.directory)!r}, {str(tmp_path)!r}).data)\n"
        "bad = {'jax', 'flax', 'optax', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in files.figures + files.tables:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
