"""``horizon:FACTOR:NAME``: another number of steps is declared, and in the label."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import pytest

from velodrome.foundation.errors import SpecError, UnknownNameError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.optimizers.velo.optimizer import velo


def test_velo_plans_for_the_factor_times_the_steps():
    params = {"w": jnp.ones((3, 2))}
    spec = optimizers.get("horizon:0.25:velo")
    declared = spec.make({}, num_steps=1000).init(params)
    there = velo(250).init(params)
    elsewhere = velo(1000).init(params)

    def equal(one, other) -> bool:
        return all(map(jnp.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))

    assert equal(declared, there)
    assert not equal(declared, elsewhere)
    plain = optimizers.get("velo")
    assert spec.label == f"{plain.label}, told 0.25 x the steps"
    assert spec.identity == {**plain.identity, "horizon_factor": 0.25}
    assert spec.needs == plain.needs


@pytest.mark.parametrize(("factor", "declared"), [("4", 40), ("0.3", 3), ("0.01", 1)])
def test_the_declared_number_is_whole_and_hyperparameters_stay(factor, declared):
    calls = []

    def factory(num_steps: int, rate: float) -> optax.GradientTransformation:
        calls.append((num_steps, rate))
        return optax.sgd(rate)

    spec = OptimizerSpec(
        name="mine",
        label="Mine",
        factory=factory,
        grid={"rate": (0.1, 0.2)},
        static=frozenset({"rate"}),
        needs=frozenset({"num_steps"}),
    )
    with optimizers.temporarily("mine", spec):
        changed = optimizers.get(f"horizon:{factor}:mine")
    changed.make({"rate": 0.2}, num_steps=10)
    assert calls == [(declared, 0.2)]
    assert changed.points == spec.points
    with pytest.raises(SpecError, match="rate: got None, but it must be given, such as"):
        changed.make({}, num_steps=10)


@pytest.mark.parametrize("name", ["horizon:", "horizon:2", "horizon:x:velo", "horizon:-1:velo"])
def test_other_forms_are_refused(name):
    with pytest.raises(SpecError, match="horizon:FACTOR:OPTIMIZER with a positive factor"):
        optimizers.get(name)


def test_only_optimizers_that_need_the_steps_have_a_horizon():
    with pytest.raises(SpecError, match="which adam does not"):
        optimizers.get("horizon:2:adam")
    with pytest.raises(UnknownNameError, match="'vela'"):
        optimizers.get("horizon:2:vela")
