"""The built-in weights still do on held-out tasks what is recorded of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scripts import recorded_losses as recorded
from velodrome.optimizers.velo.weights.store import weights_hash
from velodrome.suites.catalog import load_suite

# Weights that are off by a thousandth of a percent change a loss by 0.1% at most, weights that are
# off by a percent by 1.5%.
TOLERANCE = 3e-3


def read(weights: str):
    return json.loads(recorded.record_path(weights).read_text())


@pytest.mark.parametrize("weights", recorded.WEIGHTS)
def test_the_record_is_of_these_weights_and_tasks(weights: str):
    record = read(weights)
    assert record["weights"] == weights_hash(weights), (
        "the weights have changed: run `python scripts/recorded_losses.py`"
    )
    known = {task.label: task.hash for task in load_suite("heldout-40").tasks}
    assert {row["task"]: row["hash"] for row in record["tasks"]} == {
        label: known[label] for label in recorded.TASKS
    }


@pytest.mark.parametrize("weights", recorded.WEIGHTS)
@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.long)])
def test_small_heldout_tasks_reach_the_recorded_losses(weights: str, count: int):
    rows = read(weights)["tasks"][:count]
    measured = recorded.measure(weights, recorded.TASKS[:count])
    for row, again in zip(rows, measured["tasks"], strict=True):
        assert len(row["losses"]) == recorded.STEPS // 10 + 1
        np.testing.assert_allclose(again["losses"], row["losses"], rtol=TOLERANCE)
