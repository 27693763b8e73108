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
from jaxtyping import PyTree

from velodrome.contracts import task as task_contract
from velodrome.contracts.task import prepare, quick, require
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.family import Family
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.evolution import moved, unit_noise
from velodrome.taskgen.sampler import DATA
from velodrome.taskgen.space.config import dynamic_values, sample_config
from velodrome.taskgen.space.distributions import Value
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import FieldInfo, config_fields
from velodrome.taskgen.spec import TaskSpec

_SAMPLES = 12
_TRACED = 4
_VARIANTS = 8
_SMALL_BATCH = 4
_COMPARED = 2  # each is another program to compile
_NUDGE = 0.01  # of parameters, see _loss_at_start
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
        """Return the spec of that index, drawn as the sampler draws."""
        rng = NamedRng(0, "check", self.family.name, index)
        config = sample_config(self.family.config, rng.child("config"))
        return self.spec(config, int(self.family.batch_size.sample(rng, "batch_size")))

    def spec(self, config: object, batch_size: int = _SMALL_BATCH) -> TaskSpec:
        """Return a spec on data of its kind; ``{}`` is the default config."""
        data = DataSpec(_data_of(self.family.data_kind))
        return TaskSpec(self.family.name, config, data, batch_size)

    @cached_property
    def specs(self) -> list[TaskSpec]:
        """Some sampled specs."""
        return [self.sampled(index) for index in range(_SAMPLES)]

    @cached_property
    def small(self) -> task_contract.Subject:
        """The default task with a small batch, every field shrunk as far as the family allows."""
        fields = config_fields(self.family.config)
        floors = {
            name: min(floor, fields[name][2])
            for name, floor in self.family.shrink.items()
            if name in fields
        }
        return prepare(self.spec(floors))


def _data_of(kind: str) -> str:
    """Return the name of a data set of a kind, a built-in one if there is one."""
    built_in = DATA["built-in"].get(kind, ())
    others = (name for name in datasets.names() if datasets.get(name).kind == kind)
    name = next(iter((*built_in, *others)), None)
    require(name is not None, f"there is no data set of kind {kind!r} to check the family with")
    assert name is not None
    return name


def check_sampling(subject: Subject) -> None:
    """Sampling again gives equal specs, and other draws give others."""
    again = [subject.sampled(index) for index in range(_SAMPLES)]
    require(subject.specs == again, "sampling again gives different specs")
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
    """Eight dynamic variants are lanes of one program, and have the losses of their own tasks."""
    fields = config_fields(subject.family.config)
    names = [name for name, (_, info, _) in fields.items() if info.dynamic]
    if not names:
        return
    changes = [_variant(subject, names, index) for index in range(_VARIANTS)]
    require(
        any(change != changes[0] for change in changes),
        f"the dynamic fields {', '.join(names)} allow a single value; declare them static",
    )
    base = subject.small.task.spec
    variants = [
        dataclasses.replace(base, config={**vars(base.config), **change}) for change in changes
    ]
    values = [dynamic_values(spec.config) for spec in variants]
    lanes = {name: jnp.asarray([value[name] for value in values]) for name in names}
    losses = quick(jax.vmap(partial(_loss_at_start, subject.small)))(lanes)
    require(
        bool((losses != losses[0]).any()),
        f"with all {_VARIANTS} dynamic variants of the default config the loss is "
        f"{losses[0]:.6g}: the network does not use them",
    )
    for spec, loss in list(zip(variants, losses, strict=True))[:_COMPARED]:
        own = quick(partial(_loss_at_start, prepare(spec), None))()
        require(
            bool(jnp.allclose(loss, own, rtol=1e-4, atol=1e-5, equal_nan=True)),
            f"with the dynamic values {dynamic_values(spec.config)} traced the loss is {loss:.6g}, "
            f"with them constant {own:.6g}",
        )


def _variant(subject: Subject, names: list[str], index: int) -> dict[str, Value]:
    """Return values for dynamic fields: drawn, or, where the sampler draws one only, spread."""
    fields, drawn = config_fields(subject.family.config), subject.specs[index].config
    chosen = {}
    for name in names:
        kind, info, default = fields[name]
        fixed = len({getattr(spec.config, name) for spec in subject.specs}) == 1
        chosen[name] = _spread(kind, info, default, index) if fixed else getattr(drawn, name)
    return chosen


def _spread(kind: type, info: FieldInfo, default: Any, index: int) -> Value:
    """Return an allowed value near the default, another one for each index if there is one."""
    if kind is bool:
        return bool(index % 2)
    if kind is str:
        return info.allowed[index % len(info.allowed)]
    # From half to twice the default, and never out of the range; about zero, up to one.
    low = max(info.allowed[0], min(default / 2, 2 * default))
    high = min(info.allowed[1], max(default / 2, 2 * default, low + (default == 0)))
    value = low + (high - low) * index / (_VARIANTS - 1)
    return min(max(round(value), info.allowed[0]), info.allowed[1]) if kind is int else value


def _loss_at_start(small: task_contract.Subject, dynamic: Dynamic | None) -> jax.Array:
    params, state = small.task.init(jax.random.key(0), dynamic)
    # A last layer that starts at zero would hide what comes before it.
    nudge = jax.tree.map(lambda leaf: leaf[0], unit_noise(jax.random.key(2), params, 1))
    arguments = (moved(params, nudge, _NUDGE), state, jax.random.key(1), small.batch())
    return small.task.loss(*arguments, train=True, dynamic=dynamic)[0]


def check_learning(subject: Subject) -> None:
    """Adam, at one of three rates, lowers the loss of a small task on one batch by 5%."""
    task, key = subject.small, jax.random.key(1)
    adam, batch = optax.scale_by_adam(), task.batch()

    @quick
    def update(gradient: PyTree, state: PyTree, params: PyTree, rate: jax.Array) -> PyTree:
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
    """Make a check of a family from the check of tasks called ``name``."""
    check = task_contract.CHECKS[name]

    def check_small_task(subject: Subject) -> None:
        check(subject.small)

    check_small_task.__doc__ = check.__doc__
    return check_small_task


_OF_TASKS = ("trees", "loss", "metrics", "corpus", "gradients", "seeds", "vmap", "scan")

#: The contract, by name.
CHECKS: dict[str, Callable[[Subject], None]] = {
    "sampling": check_sampling,
    "config": check_config,
    "cost": check_cost,
    **{name: _of_task(name) for name in _OF_TASKS},
    "dynamic": check_dynamic,
    "learning": check_learning,
}
