from __future__ import annotations

import dataclasses
import json

import pytest

import velodrome
from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.taskgen.budget import (
    Budget,
    DeviceProfile,
    load_profile,
    predict_seconds,
    profile_names,
    save_profile,
    steps_allowed,
)
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.sampler import fit_budget
from velodrome.taskgen.spec import TaskSpec

PROFILE = DeviceProfile(
    name="round",
    device="a device with round figures",
    peak_flops=2e9,
    peak_bytes_per_s=4e8,
    overhead_s=0.001,
    kernel_s=0.0001,
    memory_bytes=10**6,
    derate=0.5,
    measured=False,
)


def cost(flops=0, moved=0, params=0, saved=0, kernels=0):
    return Cost(flops, moved, params, saved, 0, kernels)


def test_the_roofline_by_hand():
    # 2e6 FLOP at 1e9 a second: 2 ms; 1e6 bytes at 2e8 a second: 5 ms; 10 kernels: 1 ms; 1 ms.
    assert predict_seconds(cost(2_000_000, 1_000_000, kernels=10), PROFILE) == pytest.approx(0.007)
    assert predict_seconds(cost(8_000_000, 1_000_000, kernels=10), PROFILE) == pytest.approx(0.010)
    assert steps_allowed(cost(8_000_000, kernels=5), PROFILE, hours=1) == 378_947  # 9.5 ms each


def test_a_budget_caps_time_memory_and_flops():
    budget = Budget(PROFILE, hours=1 / 36, steps=10_000, max_mflop=7)  # 10 ms a step
    assert budget.allows(cost(7_000_000))
    assert budget.excess(cost(7_100_000)) == ["7.1 MFLOP a step, over 7"]
    (time,) = budget.excess(cost(0, 2_000_000))
    assert "9090 steps" in time and "round (not measured), under 10000" in time
    # Eight copies of 4-byte parameters, and twice the activations.
    assert cost(params=20_000, saved=180_000).memory_bytes == 1_000_000
    assert budget.allows(cost(params=20_000, saved=180_000))
    (memory,) = budget.excess(cost(params=20_000, saved=180_001))
    assert memory.startswith("1 MB of memory, over 1 MB on ")


@pytest.mark.parametrize("field", ["hours", "max_mflop"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_a_budget_must_be_positive(field, value):
    with pytest.raises(SpecError, match=f"{field}.*a positive number"):
        Budget(PROFILE, **{field: value})


def test_built_in_profiles_say_that_they_are_not_measured():
    assert {"v100", "t4", "a100", "h100"} <= set(profile_names())
    for name in ("v100", "t4", "a100", "h100"):
        profile = load_profile(name.upper())
        assert profile.name == name and 0 < profile.derate < 1
        assert not profile.measured and profile.label == f"{name} (not measured)"
        assert "assumptions" in profile.source


def test_profiles_are_saved_and_found_by_name_or_path(tmp_path, monkeypatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    path = save_profile(PROFILE)
    assert load_profile("round") == load_profile(str(path)) == PROFILE
    with pytest.raises(UnknownNameError, match="Did you mean 'round'"):
        load_profile("rond")


def test_a_built_in_name_always_means_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    before = load_profile("v100")
    with pytest.raises(SpecError, match="profile.name: got 'V100', .* another name than a100"):
        save_profile(dataclasses.replace(PROFILE, name="V100"))
    # Put there by other means, it still changes nothing.
    mine = save_profile(PROFILE)
    mine.rename(mine.with_name("v100.json"))
    assert load_profile("v100") == before


@pytest.mark.parametrize("change", [{"schema": 9}, {"peak_flops": 0}, {"speed": 1}])
def test_a_damaged_profile_is_refused(tmp_path, change):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"schema": 1, **dataclasses.asdict(PROFILE), **change}))
    with pytest.raises(SpecError, match="velodrome calibrate"):
        load_profile(str(path))
    path.write_text("{")
    with pytest.raises(SpecError, match="velodrome calibrate"):
        load_profile(str(path))


def fit(spec, max_mflop):
    return fit_budget(spec, Budget(load_profile("v100"), max_mflop=max_mflop))


def test_shrinking_keeps_what_fits():
    spec = TaskSpec("mlp", {}, DataSpec("digits"), 8)
    assert fit(spec, 100) == spec


def test_shrinking_halves_what_is_furthest_above_its_floor():
    config = {"hidden_size": 64, "num_layers": 1, "image_size": 8}
    spec = TaskSpec("mlp", config, DataSpec("digits"), 16)
    flops = velodrome.cost(spec).flops
    # In floors: hidden 64/8, image 8/4, batch 16/4, layers 1/1.
    once = fit(spec, 0.9 * flops / 1e6)
    assert once == dataclasses.replace(
        spec, config=dataclasses.replace(spec.config, hidden_size=32)
    )
    # Now hidden 4 and batch 4: the first of the two in the family's list.
    twice = fit(spec, 0.9 * velodrome.cost(once).flops / 1e6)
    assert (twice.config.hidden_size, twice.batch_size) == (16, 16)


def test_classes_that_no_token_can_be_go_first():
    config = {"vocab_size": 5000, "rnn_size": 16}
    spec = TaskSpec("rnn", config, DataSpec("kjv"), 8)
    shrunk = fit(spec, 0.9 * velodrome.cost(spec).flops / 1e6)
    assert shrunk == dataclasses.replace(
        spec, config=dataclasses.replace(spec.config, vocab_size=256)
    )


def test_an_impossible_budget_is_an_error_that_says_what_to_do():
    with pytest.raises(VelodromeError, match="no task of family 'transformer' fits.*Allow more"):
        fit(TaskSpec("transformer", {}, DataSpec("kjv"), 8), 0.01)
