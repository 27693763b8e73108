"""What is found out about an optimizer of a user by tracing it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from velodrome.contracts.optimizer import train
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.optimizers.from_path import as_spec
from velodrome.optimizers.probe import described, probed, required_keywords
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec

RATES = (1e-3, 1e-2)
#: Each of optax's schedules for a peak rate and a number of steps.
SCHEDULES: dict[str, Callable[[Any, int], Any]] = {
    "constant_schedule": lambda rate, n: optax.constant_schedule(rate),
    "cosine_decay_schedule": lambda rate, n: optax.cosine_decay_schedule(rate, n),
    "cosine_onecycle_schedule": lambda rate, n: optax.cosine_onecycle_schedule(n, rate),
    "exponential_decay": lambda rate, n: optax.exponential_decay(rate, n, 0.9),
    "join_schedules": lambda rate, n: optax.join_schedules(
        [optax.constant_schedule(rate), optax.constant_schedule(rate / 2)], [n // 2]
    ),
    "linear_onecycle_schedule": lambda rate, n: optax.linear_onecycle_schedule(n, rate),
    "linear_schedule": lambda rate, n: optax.linear_schedule(rate, 0.0, n),
    "piecewise_constant_schedule": lambda rate, n: optax.piecewise_constant_schedule(
        rate, {n // 2: 0.1}
    ),
    "piecewise_interpolate_schedule": lambda rate, n: optax.piecewise_interpolate_schedule(
        "linear", rate, {n // 2: 0.1}
    ),
    "polynomial_schedule": lambda rate, n: optax.polynomial_schedule(rate, 0.0, 2, n),
    "sgdr_schedule": lambda rate, n: optax.sgdr_schedule(
        [{"init_value": 0.0, "peak_value": rate, "decay_steps": n, "warmup_steps": n // 10}]
    ),
    "warmup_constant_schedule": lambda rate, n: optax.warmup_constant_schedule(0.0, rate, n // 10),
    "warmup_cosine_decay_schedule": lambda rate, n: optax.warmup_cosine_decay_schedule(
        0.0, rate, n // 10, n
    ),
    "warmup_exponential_decay_schedule": lambda rate, n: optax.warmup_exponential_decay_schedule(
        0.0, rate, n // 10, n, 0.9
    ),
}


def scheduled(name: str) -> OptimizerSpec:
    def factory(learning_rate, num_steps):
        return optax.sgd(SCHEDULES[name](learning_rate, num_steps))

    return probed(as_spec(f"schedules:{name}", factory))


def test_the_table_has_every_schedule_of_optax():
    found = {
        name
        for name in dir(optax.schedules)
        if callable(getattr(optax.schedules, name)) and name.endswith(("schedule", "decay"))
    }
    assert found | {"join_schedules"} == SCHEDULES.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_can_be_swept(name: str):
    spec = scheduled(name)
    assert spec.traced | spec.static == {"learning_rate"}

    def run(**traced: jax.Array) -> jax.Array:
        fixed = {"learning_rate": 1e-2} if spec.static else {}
        return train(spec, {**fixed, **traced})[0]

    lanes = {} if spec.static else {"learning_rate": jnp.asarray(RATES)}
    losses = jax.eval_shape(jax.vmap(run) if lanes else run, **lanes)
    assert losses.shape == ((2, 60) if lanes else (60,))


def test_a_rate_is_static_only_where_it_must_be():
    assert scheduled("warmup_cosine_decay_schedule").static == {"learning_rate"}
    assert scheduled("cosine_decay_schedule").traced == {"learning_rate"}
    made = OptimizerSpec(
        "two",
        "Two",
        lambda learning_rate, decay: optax.sgd(learning_rate, momentum=0.1 if decay > 0.5 else 0),
        grid={"learning_rate": RATES, "decay": (0.1, 0.9)},
        traced=frozenset({"learning_rate", "decay"}),
    )
    assert probed(made).static == {"decay"}


def test_a_factory_may_be_an_object_without_a_hash():
    @dataclasses.dataclass
    class Factory:
        momentum: float = 0.9

        def __call__(self, learning_rate):
            schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, 10, 100)
            return optax.sgd(schedule, momentum=self.momentum)

    assert probed(as_spec("objects:factory", Factory())).static == {"learning_rate"}


def test_what_fails_with_numbers_too_stays_as_it_is():
    def factory(learning_rate):
        raise OSError("no such file")

    assert probed(as_spec("broken:factory", factory)).traced == {"learning_rate"}


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("optax:lbfgs", {"value", "grad", "value_fn"}),
        ("optax:polyak_sgd", {"value"}),
        ("optax:contrib.momo", {"value"}),
        ("optax.contrib:momo_adam", {"value"}),
        ("optax:contrib.reduce_on_plateau", {"value"}),
        ("optax:lion", set()),
    ],
)
def test_needs_are_found_however_an_optimizer_is_named(name: str, needs: set[str]):
    assert optimizers.get(name).needs == needs


def test_needs_are_found_inside_a_chain():
    chained = optax.chain(optax.clip(1.0), optax.contrib.reduce_on_plateau(), optax.lbfgs())
    assert required_keywords(chained) == {"value", "grad", "value_fn"}
    assert required_keywords(optax.adam(1e-3)) == frozenset()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1e-3, float("nan")), "grid.learning_rate: got nan, but it must be finite numbers"),
        ((float("inf"),), "got inf"),
        ((1e-3, "1e-2"), "got '1e-2', but it must be Python numbers"),
        ((1e-3, 1e-3), "it must be different values"),
    ],
)
def test_a_grid_of_no_use_is_refused_when_it_is_declared(values: tuple[Any, ...], message: str):
    with pytest.raises(SpecError, match=message):
        OptimizerSpec(
            "x",
            "X",
            optax.sgd,
            grid={"learning_rate": values},
            traced=frozenset({"learning_rate"}),
        )


def test_a_factory_that_returns_nothing_is_one_clear_message():
    spec = OptimizerSpec("empty", "Empty", lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(VelodromeError, match="'empty' returned None .*`return` may be missing"):
        spec.make({}, num_steps=None)


def test_any_keyword_of_the_factory_can_be_given():
    adamw = optimizers.get("adamw")
    params = jnp.ones(3)
    updates = []
    for decay in (0.0, 0.1):
        made = adamw.make({"learning_rate": 1.0, "weight_decay": decay}, num_steps=None)
        updates.append(made.update(jnp.zeros(3), made.init(params), params)[0])
    assert jax.tree.all(jax.tree.map(lambda a, b: jnp.allclose(a - b, 0.1), *updates))
    with pytest.raises(SpecError, match="'weight_dekay'.*among .*'weight_decay'"):
        adamw.make({"learning_rate": 1.0, "weight_dekay": 0.1}, num_steps=None)


def test_learned_optimizers_take_a_weight_decay():
    with pytest.raises(SpecError, match="weight_decay: got -1.0"):
        optimizers.get("velo").make({"weight_decay": -1.0}, num_steps=10)


def test_keywords_are_those_of_a_partial_too():
    spec = OptimizerSpec("p", "P", functools.partial(optax.sgd, 1e-2))
    with pytest.raises(SpecError, match="among .*'momentum'"):
        spec.make({"momentun": 0.9}, num_steps=None)


def test_an_error_about_a_traced_value_has_advice():
    with pytest.raises(jax.errors.JAXTypeError) as caught:
        jax.eval_shape(lambda step: 1.0 if step > 5 else 0.5, 3)
    text = described(caught.value)
    assert "TracerBoolConversionError: Attempted boolean conversion" in text
    assert "jnp.where" in text and "\n" not in text
    assert described(KeyError("x")) == "KeyError: 'x'"
    assert described(ValueError()) == "ValueError"
