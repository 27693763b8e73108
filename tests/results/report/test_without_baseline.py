"""What a report says where nothing was run of the baseline."""

from __future__ import annotations

from pathlib import Path

from synthetic import Candidate, make

from velodrome.results.report.data import collect
from velodrome.results.report.sentences import count_lines


def test_a_baseline_that_never_ran_gives_no_ceiling(tmp_path: Path):
    def told(name: str, missing: list[tuple[str, int]]) -> tuple[str, list[str]]:
        candidate = Candidate("velo", [2.0, 3.0])
        data = collect(make(tmp_path / name, [candidate], missing=missing, steps=50).store)
        return data.context.line, count_lines(data)

    line, lines = told("never", [("adam", 0), ("adam", 1)])
    assert "; no runs of Adam; " in line and "learning rates" not in line
    assert lines == ["There are no speedups: Adam, the baseline, has not been run."]
    line, lines = told("partly", [("adam", 0)])
    assert "; Adam over 15 learning rates, 250 steps; " in line
    assert any("cannot exceed 5x: Adam was run 5 times as long" in line for line in lines)
