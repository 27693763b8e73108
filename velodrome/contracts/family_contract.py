"""What every task family must do, as a table of checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from foundation.errors import SpecError, VelodromeError
from taskgen import cost
from taskgen.draws import Draws
from taskgen.families.base import Family
from taskgen.space import config_fields, dynamic_values, sample_config, static_values
from taskgen.spec import DataSpec, TaskSpec
from taskgen.task import Task
from velodrome.contracts import task_contract
from velodrome.contracts.task_contract import prepare, require

_SAMPLES = 12
_TRACED = 4
_VARIANTS = 8
_DATA = {"image": "digits", "text": "kjv"}
_SMALL_BATCH = 4
_COMPARED = 2  # each needs a program of its own
_STEPS = 30
_FALL = 0.95


@dataclass(frozen=True, eq=False)
class Subject:
    """A family under test.

    Attributes:
      family: The family, registered under its name.
    """

    family: Family

    def sampled(self, index: int) -> TaskSpec:
        """Returns the spec of that index, drawn as the sampler draws."""
        draws = Draws(0, "check", self.family.name, index)
        config = sample_config(self.family.config, draws.child("config"))
        return self.spec(config, self.family.batch_size.sample(draws, "batch_size"))

    def spec(self, config: Any, batch_size: int = _SMALL_BATCH) -> TaskSpec:
        """Returns a spec on built-in data; ``{}`` is the default config."""
        data = DataSpec(_DATA[self.family.data_kind])
        return TaskSpec(self.family.name, config, data, batch_size)

    @cached_property
    def specs(self) -> list[TaskSpec]:
        """Some sampled specs."""
        return [self.sampled(index) for index in range(_SAMPLES)]

    @cached_property
    def small(self) -> task_contract.Subject:
        """The cheapest of the sampled tasks, with a small batch and default dynamic values."""
        cheapest = min(self.specs, key=lambda spec: cost(spec).flops)
        return prepare(self.spec(static_values(cheapest.config)))


def check_sampling(subject: Subject) -> None:
    """The same draws give the same spec, and other draws another one."""
    again = [subject.sampled(index) for index in range(_SAMPLES)]
    require(subject.specs == again, "the same draws give different specs")
    require(len({spec.hash for spec in again}) > 1, "all sampled specs are the same")


def check_config(subject: Subject) -> None:
    """Configs survive JSON with the same hash; unknown and wrong values are refused."""
    for spec in (*subject.specs, subject.spec({})):
        again = TaskSpec.from_json(spec.to_json())
        require(again == spec and again.hash == spec.hash, f"{spec.to_json()} reads back different")
    fields = config_fields(subject.family.config)
    for wrong in ({"no_such_field": 1}, *({name: None} for name in fields)):
        try:
            subject.spec(wrong)
        except SpecError:
            continue
        require(False, f"the config {wrong} is accepted")


def check_cost(subject: Subject) -> None:
    """The closed form counts FLOPs within 10% of traced programs, and parameters exactly."""
    for spec in subject.specs[:_TRACED]:
        try:
            task_contract.check_cost(prepare(spec))
        except VelodromeError as error:
            require(False, f"{str(error).removesuffix('.')}, for {spec.to_json()}")


def check_dynamic(subject: Subject) -> None:
    """Eight dynamic variants run through one compiled program, and give each task's own numbers."""
    fields = config_fields(subject.family.config)
    names = [name for name, (_, info, _) in fields.items() if info.dynamic]
    if not names:
        return
    base = subject.small.task.spec
    variants = [
        dataclasses.replace(
            base, config={**vars(base.config), **{name: getattr(other, name) for name in names}}
        )
        for other in (spec.config for spec in subject.specs[:_VARIANTS])
    ]
    batch, traces = subject.small.batch(), []

    def evaluate(task: Task, dynamic: Any) -> jax.Array:
        traces.append(task)
        params, state = task.init(jax.random.key(0), dynamic)
        return task.loss(params, state, jax.random.key(1), batch, train=True, dynamic=dynamic)[0]

    one = jax.jit(partial(evaluate, subject.small.task))
    losses = [one(_as_arrays(dynamic_values(spec.config))) for spec in variants]
    require(len(traces) == 1, f"{_VARIANTS} dynamic variants needed {len(traces)} programs")
    for spec, loss in list(zip(variants, losses, strict=True))[:_COMPARED]:
        own = jax.jit(partial(evaluate, prepare(spec).task, None))()
        require(
            bool(jnp.allclose(loss, own, rtol=1e-4, atol=1e-5, equal_nan=True)),
            f"with the dynamic values {dynamic_values(spec.config)} traced the loss is {loss:.6g}, "
            f"with them constant {own:.6g}",
        )


def check_learning(subject: Subject) -> None:
    """Adam, at one of three rates, lowers the loss of a small task on one batch by 5%."""
    task, key = subject.small, jax.random.key(1)
    adam, batch = optax.scale_by_adam(), task.batch()

    @jax.jit
    def update(gradient: Any, state: Any, params: Any, rate: jax.Array) -> Any:
        updates, state = adam.update(gradient, state, params)
        return jax.tree.map(lambda p, u: p - rate * u, params, updates), state

    first, best = None, float("inf")
    for rate in (1e-2, 1e-1, 1e-3):
        params, model = task.initial
        state = adam.init(params)
        for _ in range(_STEPS):
            (loss, model), gradient = task.step(params, model, key, batch)
            params, state = update(gradient, state, params, jnp.float32(rate))
            first = float(loss) if first is None else first
            best = min(best, float(loss))
            if best < _FALL * first:
                return
    require(False, f"from {first:.4g} the loss only falls to {best:.4g}")


def _of_task(name: str) -> Callable[[Subject], None]:
    """Makes a check of a family from the check of tasks called ``name``."""
    check = task_contract.CHECKS[name]

    def check_small_task(subject: Subject) -> None:
        check(subject.small)

    check_small_task.__doc__ = check.__doc__
    return check_small_task


#: The contract, by name.
CHECKS: dict[str, Callable[[Subject], None]] = {
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


def _as_arrays(values: dict[str, int | float]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in values.items()}
