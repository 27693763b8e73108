"""One run on several devices: the tests' processes have two, see tests/conftest.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from spread_curves import STEPS, leaves, loop_of, losses, split

from velodrome.foundation.errors import PlanError
from velodrome.suites.planning.spread import Spread
from velodrome.suites.training import checkpoint, lanes
from velodrome.suites.training.placement import Placement, split_axis
from velodrome.taskgen.numerics import numerics

pytestmark = pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")

#: How far losses may differ in the first 20 steps, relative to their size: sums are made in another
#: order, and training makes of rounding more with each step.
TOLERANCE = 1e-4


@pytest.mark.parametrize(
    ("shape", "devices", "axis"),
    [
        ((256, 512), 8, 1),
        ((512, 256), 8, 0),
        ((3, 1, 1, 256, 256), 8, 4),  # the last of equals
        ((500, 256), 8, 1),  # the largest does not divide
        ((100_000,), 2, 0),
        ((100_000, 3), 7, None),
        ((128, 256), 8, None),  # too small to be worth it
        ((), 2, None),
    ],
)
def test_the_largest_axis_that_divides_is_split(shape, devices, axis):
    assert split_axis(shape, devices) == axis


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(PlanError, match="jax finds"):
        Placement(Spread(jax.local_device_count() + 1))


def test_a_run_on_two_devices_has_the_curve_of_one_and_goes_on_on_any(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    monkeypatch.setattr(lanes, "MARK_SECONDS", 0.0)  # a mark after every interval
    with numerics():
        alone = loop_of("mlp", "adam", None)
        alone.run(lambda _: True)
        expected = losses(alone)
        for sharding in ("data", "full"):
            loop = loop_of("mlp", "adam", Spread(2, sharding))
            assert not loop.run(lambda loop: loop.step < 10)
            # The matrix between the two hidden layers, and its two moments. Each program leaves
            # arrays where the next call of it expects them.
            assert split(loop) == (3 if sharding == "full" else 0)
            assert all(len(leaf.sharding.device_set) == 2 for leaf in leaves(loop))
            loop.save(path, {})
            for other in (None, Spread(2, "full")):
                rest = loop_of("mlp", "adam", other)
                meta = checkpoint.load_meta(path)
                assert meta is not None
                rest.restore(path, meta)
                assert 0 < rest.step < STEPS
                assert split(rest) == (0 if other is None else 3)
                rest.run(lambda _: True)
                np.testing.assert_allclose(losses(rest), expected, rtol=TOLERANCE)
            loop.run(lambda _: True)
            np.testing.assert_allclose(losses(loop), expected, rtol=TOLERANCE)


@pytest.mark.long
@pytest.mark.parametrize("family", ["mlp", "transformer"])
@pytest.mark.parametrize("optimizer", ["adam", "velo"])
def test_a_run_on_eight_devices_has_the_curve_of_one(optimizer, family):
    flags = os.environ["XLA_FLAGS"].split()
    count = "--xla_force_host_platform_device_count"
    flags = [flag for flag in flags if not flag.startswith(count)] + [f"{count}=8"]
    program = Path(__file__).with_name("spread_curves.py")
    ran = subprocess.run(
        [sys.executable, str(program), optimizer, family],
        env={**os.environ, "XLA_FLAGS": " ".join(flags), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout)
    for sharding, (worst, parts, _) in found.items():
        assert worst < TOLERANCE
        assert (parts >= 3) == (sharding == "full")
