from __future__ import annotations

import dataclasses

import numpy as np

import velodrome
from velodrome.taskgen.budget import DeviceProfile, load_profile, predict_seconds
from velodrome.taskgen.calibrate import calibrate, calibration_specs, fit_profile
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

TRUE = DeviceProfile(
    name="true",
    device="made up",
    peak_flops=6e10,
    peak_bytes_per_s=2e10,
    overhead_s=4e-5,
    kernel_s=2e-6,
    memory_bytes=8 * 10**9,
    derate=1.0,
    measured=True,
)


def test_a_fit_finds_the_device_that_made_the_times():
    costs = [velodrome.cost(spec) for spec in calibration_specs()]
    noise = np.random.default_rng(0).normal(0, 0.02, len(costs))
    seconds = [
        predict_seconds(cost, TRUE) * float(np.exp(n)) for cost, n in zip(costs, noise, strict=True)
    ]
    fitted = fit_profile(costs, seconds, name="fit", device="d", memory_bytes=1)
    assert fitted.measured and fitted.derate == 1
    others = [
        velodrome.cost(spec)
        for spec in velodrome.sample(60, seed=0, data="built-in", max_mflop=3000)
    ]
    ratios = [predict_seconds(cost, fitted) / predict_seconds(cost, TRUE) for cost in others]
    assert min(ratios) > 0.8 and max(ratios) < 1.25


def test_calibration_covers_all_families_and_three_orders_of_magnitude():
    specs = calibration_specs()
    assert {spec.family for spec in specs} == {"mlp", "cnn", "rnn", "transformer"}
    for family in ("mlp", "cnn", "rnn", "transformer"):
        flops = [velodrome.cost(spec).flops for spec in specs if spec.family == family]
        assert max(flops) > 100 * min(flops)


def test_calibration_measures_and_saves_a_profile(monkeypatch, tmp_path):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    # Two tiny tasks instead of twelve: the path is tested here, not the figures.
    tiny = [
        TaskSpec("mlp", {"num_layers": layers, "image_size": 4}, DataSpec("digits"), 4)
        for layers in (0, 1)
    ]
    monkeypatch.setattr("velodrome.taskgen.calibrate.calibration_specs", lambda: tiny)
    profile = calibrate(name="tiny", repeats=1)
    assert load_profile("tiny") == profile
    assert profile.measured and profile.label == "tiny"
    assert profile.memory_bytes > 10**8 and "2 tasks" in profile.source
    assert all(value > 0 for value in dataclasses.astuple(profile)[2:6])
