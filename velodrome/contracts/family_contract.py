"""What every task family must do, as a table of checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from foundation.errors import SpecError, VelodromeError
from taskgen import build, cost
from taskgen.draws import Draws
from taskgen.families.base import Family
from taskgen.space import config_fields, dynamic_values, sample_config
from taskgen.spec import TaskSpec
from velodrome.contracts import task_contract
from velodrome.contracts.task_contract import prepare, require

_SAMPLES = 12
_TRACED = 6
_VARIANTS = 8
_DATA = {"image": "digits", "text": "kjv"}
_SMALL_BATCH = 4
_STEPS = 30


def sampled(family: Family, index: int) -> TaskSpec:
    """Returns the spec of that index, drawn as the sampler draws."""
    draws = Draws(0, "check", family.name, index)
    return TaskSpec(
        family=family.name,
        config=sample_config(family.config, draws.child("config")),
        data=_DATA[family.data_kind],  # type: ignore[arg-type]  # a name stands for a DataSpec
        batch_size=family.batch_size.sample(draws, "batch_size"),
    )


def small(family: Family) -> TaskSpec:
    """Returns the cheapest of some sampled specs, with a small batch, to be run."""
    spec = min((sampled(family, index) for index in range(_SAMPLES)), key=lambda s: cost(s).flops)
    return dataclasses.replace(spec, batch_size=_SMALL_BATCH)


def check_sampling(family: Family) -> None:
    """The same draws give the same spec, and other draws another one."""
    specs = [sampled(family, index) for index in range(_SAMPLES)]
    again = [sampled(family, index) for index in range(_SAMPLES)]
    require(specs == again, "the same draws give different specs")
    require(len({spec.hash for spec in specs}) > 1, "all sampled specs are the same")


def check_config(family: Family) -> None:
    """Configs survive JSON with the same hash; unknown and wrong values are refused."""
    for spec in (*(sampled(family, index) for index in range(_SAMPLES)), _default(family)):
        again = TaskSpec.from_json(spec.to_json())
        require(again == spec and again.hash == spec.hash, f"{spec.to_json()} reads back different")
    for wrong in ({"no_such_field": 1}, dict.fromkeys(config_fields(family.config), None)):
        try:
            dataclasses.replace(_default(family), config=wrong)
        except SpecError:
            continue
        require(not wrong, f"the config {wrong} is accepted")


def check_cost(family: Family) -> None:
    """The closed form counts FLOPs within 10% of traced programs, and parameters exactly."""
    for index in range(_TRACED):
        spec = sampled(family, index)
        try:
            task_contract.check_cost(prepare(spec))
        except VelodromeError as error:
            require(False, f"{str(error).removesuffix('.')}, for {spec.to_json()}")


def check_dynamic(family: Family) -> None:
    """Eight dynamic variants run through one compiled program, and give each task's own numbers."""
    first = small(family)
    names = [name for name, (_, info, _) in config_fields(family.config).items() if info.dynamic]
    if not names:
        return
    variants = [
        dataclasses.replace(
            first, config={**vars(first.config), **{name: getattr(other, name) for name in names}}
        )
        for other in (sampled(family, index).config for index in range(_VARIANTS))
    ]
    batch, traces = prepare(first).batch(), []

    def evaluate(task: Any, dynamic: Any) -> jax.Array:
        traces.append(task)
        params, state = task.init(jax.random.key(0), dynamic)
        return task.loss(params, state, jax.random.key(1), batch, train=True, dynamic=dynamic)[0]

    one = jax.jit(partial(evaluate, build(first)))
    traced = [one(_as_arrays(dynamic_values(spec.config))) for spec in variants]
    require(len(traces) == 1, f"{_VARIANTS} dynamic variants needed {len(traces)} programs")
    for spec, loss in zip(variants, traced, strict=True):
        own = jax.jit(partial(evaluate, build(spec), None))()
        close = bool(jnp.allclose(loss, own, rtol=1e-4, atol=1e-5, equal_nan=True))
        require(
            close,
            f"with the dynamic values {dynamic_values(spec.config)} traced the loss is {loss:.6g}, "
            f"with them constant {own:.6g}",
        )


def check_learning(family: Family) -> None:
    """Adam, at one of three rates, lowers the loss of the default config on one batch by 5%."""
    subject = prepare(dataclasses.replace(_default(family), batch_size=_SMALL_BATCH))
    batch, key = subject.batch(), jax.random.key(1)
    start: Any = None
    lasts = []
    for rate in (1e-3, 1e-2, 1e-1):
        params, model_state = subject.initial
        adam = optax.adam(rate)
        state = adam.init(params)
        update = jax.jit(adam.update)
        for _ in range(_STEPS):
            (loss, model_state), gradient = subject.step(params, model_state, key, batch)
            start = loss if start is None else start
            updates, state = update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        lasts.append(float(subject.step(params, model_state, key, batch)[0][0]))
    best = float(jnp.nanmin(jnp.asarray(lasts)))
    require(best < 0.95 * float(start), f"from {start:.4g} the loss only falls to {best:.4g}")


def _of_task(name: str) -> Callable[[Family], None]:
    """Makes a check of a family from the check of tasks called ``name``."""
    check = task_contract.CHECKS[name]

    def check_small_task(family: Family) -> None:
        check(prepare(small(family)))

    check_small_task.__doc__ = check.__doc__
    return check_small_task


#: The contract, by name.
CHECKS: dict[str, Callable[[Family], None]] = {
    "sampling": check_sampling,
    "config": check_config,
    "cost": check_cost,
    **{
        name: _of_task(name)
        for name in ("trees", "loss", "metrics", "gradients", "seeds", "vmap", "scan")
    },
    "dynamic": check_dynamic,
    "learning": check_learning,
}


def _default(family: Family) -> TaskSpec:
    return TaskSpec(family.name, {}, _DATA[family.data_kind], _SMALL_BATCH)  # type: ignore[arg-type]


def _as_arrays(values: dict[str, int | float]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in values.items()}
