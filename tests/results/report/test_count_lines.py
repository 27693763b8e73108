"""What stands below a headline: the wider interval."""

from __future__ import annotations

from pathlib import Path

from synthetic import Candidate, make

from velodrome.results.analyses.headline import ratio_text
from velodrome.results.report.data import collect
from velodrome.results.report.sentences import count_lines


def test_the_interval_for_new_tasks_is_told_with_its_name(tmp_path: Path):
    data = collect(make(tmp_path / "a", [Candidate("velo", [0.5, 2.0, 3.0])], steps=50).store)
    found = next(h for h in data.headlines if (h.unit, h.scope) == ("steps", "headline"))
    new, same = ratio_text(found.median, new_tasks=True), ratio_text(found.median)
    assert new != same
    told = [line for line in count_lines(data) if "two-level bootstrap" in line]
    assert len(told) == 1 and found.label in told[0] and f"median in steps {new}" in told[0]
