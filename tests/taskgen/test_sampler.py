from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import velodrome
from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.taskgen.budget import Budget, load_profile
from velodrome.taskgen.sampler import ATTEMPTS, DATA, MIXTURE, sample_recorded
from velodrome.taskgen.spec import TaskSpec

GOLDEN = Path(__file__).parent / "golden" / "samples.json"


@functools.cache
def first_thousand():
    return velodrome.sample(1000, seed=0)


@functools.cache
def small_built_in():
    """Built-in data and at most 6 MFLOP a step, with what the sampling took."""
    budget = Budget(load_profile("v100"), max_mflop=6)
    return list(sample_recorded(24, seed=0, family=None, data="built-in", budget=budget))


def golden_now():
    """Return what the golden file holds: python -m tests.taskgen.test_sampler writes it."""
    specs = first_thousand()
    lines = "\n".join(canonical_json(spec.to_json()) for spec in specs)
    return {
        "sha256_of_first_1000": hashlib.sha256(lines.encode()).hexdigest(),
        "first_20": [{"spec": spec.to_json(), "hash": spec.hash} for spec in specs[:20]],
        "first_20_built_in_under_6_mflop": [sampled.spec.hash for sampled in small_built_in()[:20]],
    }


def test_samples_are_the_golden_ones():
    assert golden_now() == json.loads(GOLDEN.read_text())


def test_sampling_and_costs_need_no_jax():
    program = """
import sys, velodrome
specs = velodrome.sample(40, seed=1) + velodrome.sample(8, seed=1, data="built-in", max_mflop=6)
for spec in specs:
    velodrome.cost(spec), velodrome.describe(spec)
assert not {"jax", "jaxlib", "flax"} & set(sys.modules), "jax was imported"
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_more_tasks_begin_with_the_same_ones():
    small = velodrome.sample(4, seed=0, data="built-in", max_mflop=6)
    assert small == [sampled.spec for sampled in small_built_in()[:4]]
    assert velodrome.sample(30, seed=2)[:10] == velodrome.sample(10, seed=2)
    assert velodrome.sample(10, seed=2) != velodrome.sample(10, seed=3)


def test_tasks_under_the_least_number_of_parameters_are_drawn_again():
    request = {"count": 60, "seed": 3, "family": "cnn", "data": "built-in", "max_mflop": 6}
    drawn = velodrome.sample(**request)
    larger = velodrome.sample(**request, min_parameters=500)
    small = [velodrome.cost(spec).params < 500 for spec in drawn]
    assert 0 < sum(small) < 60
    for spec, other, again in zip(drawn, larger, small, strict=True):
        assert (spec != other) == again and velodrome.cost(other).params >= 500


@pytest.mark.parametrize("family", MIXTURE)
def test_a_family_alone_is_its_part_of_the_mixture(family):
    mixed = [spec for spec in velodrome.sample(40, seed=5) if spec.family == family]
    assert mixed and velodrome.sample(len(mixed), seed=5, family=family) == mixed


def test_the_mixture_is_even():
    specs = first_thousand()
    for family in MIXTURE:
        assert abs(sum(spec.family == family for spec in specs) - 250) < 55  # four deviations


@pytest.mark.parametrize("data", DATA)
def test_data_sets_are_those_asked_for_and_all_of_them(data):
    specs = velodrome.sample(150, seed=0, data=data)
    mixed = {velodrome.families.get(family).data_kind for family in MIXTURE}
    for kind, names in DATA[data].items():
        if kind not in mixed:
            continue
        drawn = {spec.data.name for spec in specs if spec.family_object.data_kind == kind}
        assert drawn == set(names)


def test_built_in_images_are_shifted_and_only_photographs_mirrored():
    for spec in (sampled.spec for sampled in small_built_in()):
        if spec.family_object.data_kind == "image":
            assert spec.data.shift == max(1, spec.config.image_size // 8)
            assert spec.data.flip == (spec.data.name == "photos")
        else:
            assert (spec.data.shift, spec.data.flip) == (0, False)
    assert all(spec.data.shift == 0 for spec in velodrome.sample(60, seed=0))


def test_the_budget_holds_and_what_it_cost_is_recorded():
    drawn = small_built_in()
    assert all(velodrome.cost(sampled.spec).flops <= 6_000_000 for sampled in drawn)
    assert any(sampled.attempts == 1 for sampled in drawn)
    redrawn = [s for s in drawn if s.attempts > 1 and not s.shrunk]
    shrunk = [s for s in drawn if s.shrunk]
    # The smallest published transformer has 9 MFLOP: it can only be shrunk.
    assert redrawn and shrunk
    assert all(s.attempts == ATTEMPTS for s in shrunk)
    assert {s.spec.family for s in drawn if s.shrunk} >= {"transformer"}
    for sampled in shrunk:
        for name, (before, after) in sampled.shrunk.items():
            owner = sampled.spec if name == "batch_size" else sampled.spec.config
            assert getattr(owner, name) == after < before


def test_a_slower_device_and_fewer_hours_allow_less():
    def total(**limits):
        specs = velodrome.sample(30, seed=0, family="transformer", **limits)
        return sum(velodrome.cost(spec).flops for spec in specs)

    assert total(device="t4", hours=0.01) < total(device="v100", hours=0.1) < total()


def test_sampled_specs_are_within_their_own_allowed_ranges():
    for spec in velodrome.sample(200, seed=9):
        assert TaskSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"family": "cn"}, UnknownNameError, "Did you mean 'cnn'"),
        ({"data": "public"}, UnknownNameError, "Did you mean 'published'"),
        ({"device": "v10"}, UnknownNameError, "Did you mean 'v100'"),
        ({"hours": 0}, SpecError, "hours"),
        ({"max_mflop": -1}, SpecError, "max_mflop"),
        ({"count": -1}, SpecError, "count"),
        ({"min_parameters": -1}, SpecError, "min_parameters"),
        ({"family": "mlp", "min_parameters": 10**12}, VelodromeError, "none of 64 drawn"),
        (
            {"family": "transformer", "max_mflop": 2, "min_parameters": 50_000},
            VelodromeError,
            "within the budget",
        ),
    ],
)
def test_wrong_requests_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        velodrome.sample(**{"count": 1, "seed": 0, **arguments})


def test_descriptions_have_what_show_shows():
    (spec,) = velodrome.sample(1, seed=0, family="mlp", data="built-in")
    facts = velodrome.describe(spec, hours=0.5)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cost"]["params"] == velodrome.cost(spec).params
    assert facts["device"] == {"name": "v100", "measured": False}
    assert facts["steps_allowed"] == int(1800 / facts["predicted_seconds"])
    assert facts["over_budget"] == []
    assert velodrome.describe(spec, max_mflop=1e-6)["over_budget"]


def test_data_of_the_wrong_kind_are_refused():
    spec = TaskSpec("mlp", {}, velodrome.DataSpec("kjv"), 8)
    with pytest.raises(SpecError, match="data.name.*'kjv'.*kind 'image'"):
        velodrome.cost(spec)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_now(), indent=1) + "\n")
