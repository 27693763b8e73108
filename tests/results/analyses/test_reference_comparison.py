"""Our tuned baseline beside a published one, in a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import Candidate, make

import velodrome
from velodrome.results.analyses.reference import ADAM, Envelope, Reference
from velodrome.results.speedup.comparison import compare


def reference(losses: dict[str, tuple[list, list]]) -> Reference:
    made = {name: Envelope(np.array(s, float), np.array(v)) for name, (s, v) in losses.items()}
    return Reference(ADAM, "a test", "0" * 64, made)


@pytest.mark.slow
def test_our_baseline_beside_the_published_one(tmp_path: Path):
    """The published envelope is made of ours, three times as slow, and cut off for one task."""
    made = make(tmp_path / "s", [Candidate("velo", [2.0, 3.0, 1.0])], noise=0.0, multiple=5)
    plain = velodrome.report(made.store.directory, tmp_path / "plain")
    assert plain.data.published.empty and not (plain.directory / "published.csv").exists()
    ours = {}
    for task in compare(made.store):
        ours_paper = task.envelopes["paper"]
        envelope = ours_paper.curve(21)  # evaluations of a candidate
        ours[task.task.label] = (ours_paper.sweep.steps * 3.0, envelope)
    first, second, _ = ours
    published = {first: ours[first], second: tuple(part[:40] for part in ours[second])}
    files = velodrome.report(
        made.store.directory,
        tmp_path / "report",
        reference=reference({k: (list(s), list(v)) for k, (s, v) in published.items()}),
    )
    table = files.data.published
    assert list(table["task"]) == [first, first, second, second]
    assert list(table["steps"]) == [200, 1000] * 2
    np.testing.assert_allclose(np.asarray(table["ratio"])[:3], 3.0, rtol=1e-6)
    assert list(table["censored"]) == ["no", "no", "no", "right"]
    assert float(np.asarray(table["ratio"])[3]) == published[second][0][-1] / 1000
    drawn = files.data.curves
    drawn = drawn[drawn["series"] == "published"]
    assert set(drawn["task"]) == {first, second} and float(np.max(drawn["step"])) <= 1000
    text = files.markdown.read_text()
    assert "Beside the published baseline" in text and "built-in real data" in text
    assert (files.directory / "published.csv").is_file()
