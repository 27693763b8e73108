"""The headline as LaTeX has the numbers and the words of the report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import Candidate, make

import velodrome
from velodrome.results.export.latex import escape, latex_table
from velodrome.results.report.data import collect
from velodrome.results.report.tables import headline_table
from velodrome.results.store.store import Store

_PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"$\geq$": ">=",
    **{f"\\{character}": character for character in "&%$#_{}"},
}


def printed(latex: str) -> str:
    """The text that LaTeX prints for a cell; any other command is an error."""
    pattern = "|".join(map(re.escape, _PRINTED)) + r"|[\\&%$#_{}~^<>]"
    return re.sub(pattern, lambda found: _PRINTED[found[0]], latex)


def parsed(latex: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table, the title of its group before each row."""
    inside = latex[latex.index(r"\toprule") : latex.index(r"\bottomrule")]
    lines = [line.removesuffix(r" \\") for line in inside.splitlines() if line.endswith(r" \\")]
    title, rows = "", []
    for line in lines:
        if group := re.fullmatch(r"\\multicolumn\{\d+\}\{l\}\{(.*)\}", line):
            title = printed(group[1])
        else:
            rows.append([title, *(printed(cell) for cell in re.split(r"(?<!\\) & ", line))])
    return rows[0][1:], rows[1:]


AWKWARD = r"a_b & 50% $x$ #1 {x} ~ ^ \foo <b> >= [*] |"


def test_escaped_text_is_printed_as_it_was():
    assert printed(escape(AWKWARD)) == AWKWARD
    assert escape("two\nlines >= 1") == r"two lines $\geq$ 1"


def test_a_table_of_awkward_words_reads_back():
    rows = [[AWKWARD, "a", "1"], [AWKWARD, AWKWARD, ">=5x"], ["* [other]", "b", "-"]]
    latex = latex_table(
        ["group", "what_1", ">1x"], rows, caption=AWKWARD, label="tab:a", comments=["a\nb"]
    )
    assert parsed(latex) == (["what_1", ">1x"], rows)
    assert latex.startswith("% a b\n\\begin{table*}")
    assert printed(re.findall(r"\\caption\{(.*)\}$", latex, re.MULTILINE)[0]) == AWKWARD
    assert latex.count(r"\midrule") == 2
    columns = re.findall(r"\\begin\{tabular\}\{(\w+)\}", latex)
    assert columns == ["lr"]


@pytest.fixture
def censored(tmp_path: Path) -> Path:
    candidates = [
        Candidate("velo", (8.0, 9.0, 8.0, 8.0, 9.0), "VeLO (velo_tiny)"),
        Candidate("lion", (1.2, 0.7, 1.5, 1.1, 0.9), "50% Lion"),
    ]
    make(tmp_path / "s", candidates, steps=100, multiple=2, rates=(1e-3, 3e-3))
    return tmp_path / "s"


def test_the_headline_has_the_rows_of_the_report(censored: Path, tmp_path: Path):
    files = velodrome.export(censored, tmp_path / "out", parts=["headline"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "headline.md",
        "headline.tex",
    ]
    data = collect(Store.open(censored, read_only=True))
    header, rows = headline_table(data)
    markdown, latex = (path.read_text() for path in files.headline)
    assert parsed(latex) == (header[1:], rows)
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]
    assert cells == [header, ["---"] * len(header), *rows]
    # All of VeLO is beyond the budget: an aggregate of lower bounds is one.
    assert ">=2.00x" in rows[0][header.index("median [95%]")]
    assert r"$\geq$2.00x" in latex
    for text in (markdown, latex):
        assert data.context.line in text and "built-in real data" in text
        assert "too narrow" in text  # three seeds


def test_without_the_baseline_there_is_no_table_but_the_reason(tmp_path: Path):
    make(tmp_path / "s", [Candidate("velo", (2.0,))], missing=[("adam", 0)], steps=50)
    files = velodrome.export(tmp_path / "s", tmp_path / "out", parts=["headline"])
    markdown, latex = (path.read_text() for path in files.headline)
    assert "There are no speedups: Adam, the baseline, has not been run." in markdown
    assert "There are no speedups: Adam, the baseline, has not been run." in latex
