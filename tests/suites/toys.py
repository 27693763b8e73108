"""A task whose curves are known, and optimizers that show what was done to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import Plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.engines.base import Job
from velodrome.suites.running.progress import Tracker
from velodrome.suites.suite import Suite
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.family import Family
from velodrome.taskgen.functions import TaskFunctions
from velodrome.taskgen.registry import families
from velodrome.taskgen.schema import View
from velodrome.taskgen.space.distributions import log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.spec import TaskSpec


@dataclass(frozen=True)
class BowlConfig:
    """Size of the one parameter vector."""

    size: int = static(log_int(2, 16), allowed=(1, 64), default=4)
    image_size: int = static(log_int(4, 9), allowed=(1, 256), default=8)


def _build(config: BowlConfig, view: View, precision: str) -> TaskFunctions:
    """Loss: mean of x, plus the mean pixel of the batch times 0 so that the batch is used."""
    del view, precision
    size = config.size

    def init(key: Any, dynamic: Any = None) -> tuple[Any, Any]:
        del dynamic
        return {"x": jnp.zeros(size), "noise": jax.random.normal(key, (size,))}, {}

    def loss(params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None):
        del key, train, dynamic
        return jnp.mean(params["x"]) + 0.0 * jnp.mean(batch["image"]), state

    def metrics(params: Any, state: Any, key: Any, batch: Any, *, train=False, dynamic: Any = None):
        value, _ = loss(params, state, key, batch, train=train, dynamic=dynamic)
        count = jnp.float32(batch["image"].shape[0])
        first = jnp.mean(batch["image"][0])
        return {"loss": (value * count, count), "first": (first, jnp.float32(1))}

    return TaskFunctions(init=init, loss=loss, normalize=jnp.asarray, metrics=metrics)


def _cost(config: BowlConfig, view: View, batch_size: int) -> Cost:
    del view, batch_size
    size = config.size
    return Cost(
        flops=size, bytes=4 * size, params=size, activation_bytes=4, eval_flops_per_example=1
    )


def noise(key: Any) -> Any:
    """What `moody` adds to a training loss for a key."""
    return jax.random.uniform(key)


def moody() -> Family:
    """A bowl whose loss differs between training and evaluation by a known amount.

    In training it adds the variance of the batch's labels and noise; in evaluation 1000 times the
    training steps that its state has seen. Its cost makes evaluations go in slices of 32.
    """

    def cost(config: BowlConfig, view: View, batch_size: int) -> Cost:
        return dataclasses.replace(_cost(config, view, batch_size), activation_bytes=2**22)

    def build(config: BowlConfig, view: View, precision: str) -> TaskFunctions:
        del view, precision

        def init(key: Any, dynamic: Any = None) -> tuple[Any, Any]:
            del key, dynamic
            return {"x": jnp.zeros(config.size)}, {"seen": jnp.float32(0)}

        def loss(
            params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None
        ):
            del dynamic
            value = jnp.mean(params["x"])
            if not train:
                return value + 1000 * state["seen"], state
            value += jnp.var(batch["label"].astype(jnp.float32)) + noise(key)
            return value, {"seen": state["seen"] + 1}

        def metrics(params: Any, state: Any, key: Any, batch: Any, *, train=False, dynamic=None):
            value, _ = loss(params, state, key, batch, train=train, dynamic=dynamic)
            count = jnp.float32(batch["image"].shape[0])
            return {"loss": (value * count, count)}

        return TaskFunctions(init=init, loss=loss, normalize=jnp.asarray, metrics=metrics)

    return Family(name="moody", config=BowlConfig, build=build, cost=cost)


BOWL = Family(name="bowl", config=BowlConfig, build=_build, cost=_cost)


@contextmanager
def registered(**extra: OptimizerSpec) -> Iterator[None]:
    """Make the family ``bowl`` and some optimizers known for the length of a test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        stack.enter_context(families.temporarily("bowl", BOWL))
        for name, spec in extra.items():
            stack.enter_context(optimizers.temporarily(name, spec))
        yield


def counting(**fields: Any) -> OptimizerSpec:
    """Add 1 to every parameter at each update: the loss is the number of updates."""

    def factory() -> optax.GradientTransformationExtraArgs:
        def init(params: Any) -> Any:
            del params
            return jnp.int32(0)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
            del params, extra
            return jax.tree.map(jnp.ones_like, updates), state + 1

        return optax.GradientTransformationExtraArgs(init, update)

    return OptimizerSpec(**{"name": "counting", "label": "Counting", "factory": factory, **fields})


def scaled(**fields: Any) -> OptimizerSpec:
    """Add the learning rate over the number of the update; over ``num_steps`` if it is given."""

    def factory(
        learning_rate: Any, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        def init(params: Any) -> Any:
            del params
            return jnp.int32(1)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
            del params, extra
            step = jnp.float32(learning_rate) / (state if num_steps is None else num_steps)
            return jax.tree.map(lambda leaf: jnp.full_like(leaf, -step), updates), state + 1

        return optax.GradientTransformationExtraArgs(init, update)

    values = {"name": "scaled", "label": "Scaled", "factory": factory}
    values |= {"grid": {"learning_rate": (1.0,)}, "traced": frozenset({"learning_rate"})}
    return OptimizerSpec(**(values | fields))


def exploding() -> OptimizerSpec:
    """Add 1 at each update, and NaN at the update number ``at`` (never, if it is 0)."""

    def factory(at: Any) -> optax.GradientTransformationExtraArgs:
        def init(params: Any) -> Any:
            del params
            return jnp.int32(0)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
            del params, extra
            step = jnp.where(state + 1 == at, jnp.float32(jnp.nan), jnp.float32(1))
            return jax.tree.map(lambda leaf: jnp.full_like(leaf, step), updates), state + 1

        return optax.GradientTransformationExtraArgs(init, update)

    return OptimizerSpec(
        name="exploding",
        label="Exploding",
        factory=factory,
        grid={"at": (0, 7, 10, 12)},
        traced=frozenset({"at"}),
    )


def bowl_spec(batch_size: int = 8, **config: Any) -> TaskSpec:
    """A bowl on digits; call it where the family is registered."""
    return TaskSpec(family="bowl", config=config, data=DataSpec("digits"), batch_size=batch_size)


def bowl_suite(*names: str, **protocol: Any) -> Suite:
    """A suite of one bowl; call it where the family is registered."""
    values = {"steps": 20, "seeds": 2, "baseline": names[0], "baseline_multiple": 1}
    values.update(eval_every=5, heldout_every=10)
    values.update(protocol)
    return Suite(name="bowls", tasks=(bowl_spec(),), protocol=Protocol(**values), optimizers=names)


class Recorder(Tracker):
    """A display that keeps the messages it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.jobs: list[Job] = []
        self.failures: list[tuple[str, str, bool]] = []

    def begin(self, plan: Plan, jobs: Any) -> None:
        super().begin(plan, jobs)
        self.jobs = list(jobs)

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        super().job_failed(job, kind, message, again=again)
        self.failures.append((kind, message, again))

    def say(self, message: str) -> None:
        self.told.append(message)


def contents(directory: Path) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """All rows of all shards of a store, bit for bit comparable."""
    import pyarrow.parquet as pq

    found = {}
    # A killed writer leaves a file with a leading dot, which nobody reads.
    for path in sorted((directory / "shards").glob("[!.]*.parquet")):
        table = pq.read_table(path)
        columns = [table[name].to_pylist() for name in ("lane", "step", "split", "metric")]
        bits = [value.hex() for value in table["value"].to_pylist()]
        found[path.stem] = tuple(zip(*columns, bits, strict=True))
    return found
