"""Our curves on Fashion-MNIST beside the published ones: the committed ones, and the script."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import Candidate, make

from scripts import fashion_mnist
from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.comparison import compare
from velodrome.suites.catalog import load_suite

ROOT = Path(__file__).parents[2]
CURVES = ROOT / "results" / "published" / "fashion-mnist.csv"


def test_the_documented_table_is_that_of_the_curves():
    text = (ROOT / "docs" / "reference" / "published-runs.md").read_text(encoding="utf-8")
    assert fashion_mnist.table(pd.read_csv(CURVES)) in text


def test_our_curves_are_the_published_ones():
    found = pd.read_csv(CURVES)
    assert set(found["task"]) == set(json.loads(fashion_mnist.PUBLISHED.read_text()))
    for task, mine in found.groupby("task"):
        last = int(mine["step"].to_numpy().max())
        steps = [step for step in fashion_mnist.STEPS if step <= last]
        ours, published = (np.interp(steps, mine["step"], mine[x]) for x in ("ours", "published"))
        # The mean of five seeds of the autoencoder has a standard error of up to 3.8%.
        most = 0.055 if "MLPAE" in str(task) else 0.02
        assert np.abs(ours / published - 1).max() < most, task


def test_make_trains_the_tasks_whose_published_curves_are_here():
    text = (ROOT / "Makefile").read_text()
    assert "velodrome-83/fashion_mnist" in text
    named = {task.name for task in load_suite("velodrome-83/fashion_mnist").tasks}
    named |= set(re.findall(r"LOpt_\w+", text))
    assert named == set(json.loads(fashion_mnist.PUBLISHED.read_text()))


def test_the_script_compares_stores_with_published_curves(tmp_path, monkeypatch, capsys):
    store = make(tmp_path / "store", [Candidate("velo", [2.0])], rates=(1e-3, 1e-2)).store
    (task,) = compare(store)
    ours = task.envelopes["paper"]
    steps, reached = ours.steps[::20], ours.curve(task.evaluations)[::20]
    published = tmp_path / "published.json"
    name = task.about["task"]
    published.write_text(json.dumps({name: [steps.tolist(), (1.25 * reached).tolist()]}))
    monkeypatch.setattr(fashion_mnist, "PUBLISHED", published)
    monkeypatch.setattr(fashion_mnist, "STEPS", (400, 1_000, 2_000))
    written = tmp_path / "curves.csv"
    assert fashion_mnist.main([str(tmp_path / "store"), "--curves", str(written)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Ours ends after 1,000 steps.
    assert [line.split(" | ")[1:4] for line in lines[2:]] == [
        ["3", "2", x] for x in ("400", "1,000")
    ]
    assert all(line.endswith("| -20.0% |") for line in lines[2:])
    np.testing.assert_allclose(pd.read_csv(written)["step"], steps)
    published.write_text(json.dumps({"another": [[0, 1], [1, 1]]}))
    with pytest.raises(StoreError, match="no published curve"):
        fashion_mnist.curves([tmp_path / "store"])
