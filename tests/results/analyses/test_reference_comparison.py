"""Our tuned baseline beside a published one, in a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import Candidate, make

from velodrome.results.analyses.reference import ADAM, Envelope, Reference
from velodrome.results.analyses.reference_comparison import loss_at
from velodrome.results.report.data import collect
from velodrome.results.report.text import markdown
from velodrome.results.speedup.comparison import compare

RATES = (1e-3, 3e-3, 1e-2)


def test_our_baseline_beside_the_published_one(tmp_path: Path):
    """The published envelope is made of ours, three times as slow, and cut off for one task."""
    store = make(tmp_path, [Candidate("velo", [2.0, 3.0, 1.0])], noise=0.0, rates=RATES).store
    plain = collect(store)
    assert plain.published.empty and "published" not in dict(plain.saved_tables())
    assert "Beside the published baseline" not in markdown(plain)
    ours = {}
    for task in compare(store):
        envelope = task.envelopes["paper"]
        reached = envelope.curve(21)  # evaluations of a candidate
        ours[str(task.about["task"])] = (envelope.sweep.steps * 3.0, reached)
    first, second, _ = ours
    published = {first: ours[first], second: tuple(part[:40] for part in ours[second])}
    made = {name: Envelope(steps, losses) for name, (steps, losses) in published.items()}
    data = collect(store, reference=Reference(ADAM, "a test", "0" * 64, made))
    table = data.published
    assert list(table["task"]) == [first, first, second, second]
    assert list(table["steps"]) == [200, 1000] * 2
    # Not exactly 3, because ours is taken at every third step, as the published one.
    np.testing.assert_allclose(np.asarray(table["ratio"])[:3], 3.0, rtol=1e-3)
    assert list(table["censored"]) == ["no", "no", "no", "right"]
    assert float(np.asarray(table["ratio"])[3]) == published[second][0][-1] / 1000
    drawn = data.curves[data.curves["series"] == "published"]
    assert set(drawn["task"]) == {first, second} and float(np.max(drawn["step"])) <= 1000
    text = markdown(data)
    assert "Beside the published baseline" in text and "built-in real data" in text
    assert "published" in dict(data.saved_tables())


def test_ours_is_taken_at_the_steps_of_the_published_one(tmp_path: Path):
    store = make(tmp_path, [Candidate("velo", [2.0])], noise=0.0, rates=RATES).store
    (task,) = compare(store)
    ours = task.envelopes["paper"]
    dense = dict(zip(ours.sweep.steps.tolist(), ours.curve(21), strict=True))
    coarse = Envelope(np.array([0.0, 400.0, 800.0, 1200.0]), np.array([3.0, 2.0, 1.0, 0.5]))
    assert loss_at(ours, 21, coarse, 200) == pytest.approx((dense[0] + dense[400]) / 2)
    assert abs(loss_at(ours, 21, coarse, 200) / dense[200] - 1) > 0.03
    # Ours ends at 1,000 steps, between two of its steps.
    assert loss_at(ours, 21, coarse, 900) == pytest.approx((dense[800] + dense[1000]) / 2)
    assert loss_at(ours, 21, coarse, 1000) == dense[1000]
    assert np.isnan(loss_at(ours, 21, coarse, 1010))
