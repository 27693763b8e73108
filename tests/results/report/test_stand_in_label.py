"""Results on generated data say so wherever they may be looked at alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import Candidate, make

import velodrome

LABEL = "stand-in data"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stand-in")
    made = make(directory / "store", [Candidate("velo", [4.0, 0.5])], provenance="stand-in")
    velodrome.report(made.store.directory, directory / "report")
    return directory / "report"


def words(figure: Path) -> str:
    """The text of a figure, whose lines are elements of their own."""
    return " ".join(re.sub(r"<[^>]*>", " ", figure.read_text(encoding="utf-8")).split())


def test_every_figure_is_labelled(report: Path):
    figures = sorted(report.glob("*.svg"))
    assert len(figures) > 10
    assert [path.name for path in figures if LABEL not in words(path)] == []


def test_the_page_and_the_text_say_it_before_any_number(report: Path):
    page = (report / "index.html").read_text(encoding="utf-8")
    body = re.sub(r"<(style|script|head).*?</\1>", "", page, flags=re.DOTALL)
    text = (report / "report.md").read_text(encoding="utf-8")
    for shown in (body, text):
        first = re.search(r"\d\.\d\dx", shown)
        assert first and LABEL in shown[: first.start()]


def test_tables_of_results_say_it(report: Path):
    for name in ("headline", "summary"):
        header, *rows = (report / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        assert "provenance" in header and rows
        assert all("stand-in" in row for row in rows)
