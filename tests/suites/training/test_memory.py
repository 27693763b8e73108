"""The memory of a step from the compiler: the tests' processes have two devices."""

from __future__ import annotations

import dataclasses

import jax
import pytest
from spread_curves import TASKS

from velodrome.foundation.errors import PlanError
from velodrome.optimizers.registry import optimizers
from velodrome.suites.planning.spread import Spread
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.suites.training.memory import step_memory

pytestmark = pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")

#: Numbers of the one matrix between hidden layers, which is the whole of a large MLP.
SIZE = 2048 * 2048


def suite() -> Suite:
    config = {"hidden_size": 2048, "num_layers": 2, "image_size": 8}
    spec = dataclasses.replace(TASKS["mlp"], config=config)
    return Suite("large", (spec,), Protocol(steps=20, eval_every=5, heldout_every=10))


def arrays() -> int:
    return sum(array.nbytes for array in jax.live_arrays())


@pytest.mark.parametrize("name", ["adam", pytest.param("velo", marks=pytest.mark.long)])
def test_each_of_two_devices_keeps_half_and_no_array_is_made(name: str):
    optimizer, before = optimizers.get(name), arrays()
    one, two, data = (
        step_memory(suite(), 0, optimizer, spread)
        for spread in (Spread(1), Spread(2), Spread(2, "data"))
    )
    assert arrays() - before < SIZE
    copies = {"adam": 3, "velo": 5}[name]  # parameters, and momenta and second moments
    assert copies * 4 * SIZE < one.kept < 1.1 * copies * 4 * SIZE
    assert 0.5 < two.kept / one.kept < 0.52  # small arrays are kept whole
    assert 0.99 < data.kept / one.kept < 1.0  # a part of the batch
    # Less than on one device, because none gathers the matrix.
    assert two.temporary < {"adam": 1.0, "velo": 0.75}[name] * one.temporary
    assert one.total == one.kept + one.temporary and one.seconds > 0


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(PlanError, match="jax finds 2 devices"):
        step_memory(suite(), 0, optimizers.get("adam"), Spread(4))
