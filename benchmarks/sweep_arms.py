"""Ways to train the lanes of a task: the runner's, a competent user's, and some alternatives."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from sweep_worker import RATES, suite_of

import velodrome
from velodrome.optimizers.registry import optimizers
from velodrome.suites.catalog import load_suite
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.lane_batch import LaneBatch
from velodrome.suites.training.lanes import LaneLoop
from velodrome.taskgen.build import open_source


def ours(name: str) -> Any:
    """Train as a worker process does, without reading and writing the store."""
    suite = suite_of(name)
    compiled = CompiledTask(suite, 0)
    adam, steps = optimizers.get("adam"), suite.protocol.steps
    points = [{"learning_rate": rate} for rate in RATES]

    def train_lanes() -> None:
        lane_batches = [
            compiled.lane_batch(adam, steps, [0], [point], [lane])
            for lane, point in enumerate(points)
        ]
        loop = LaneLoop(compiled.data, lane_batches, horizon=steps)
        loop.run(lambda _: True)
        assert len(loop.buffer.columns({})["value"]) > 0

    return train_lanes


def user(name: str) -> Any:
    """Train with the loop that a competent user writes."""
    suite = suite_of(name)
    spec, protocol = suite.tasks[0], suite.protocol
    task = velodrome.build(spec)
    train, heldout = open_source(spec, "train"), open_source(spec, "heldout")
    examples = {
        source.split: source.gather(
            source.arrays,
            source.indices(1, 0, 1, min(512, source.size))[0],
            None,
            augment=False,
        )
        for source in (train, heldout)
    }

    def adam(rate: Any) -> optax.GradientTransformation:
        return optax.adam(rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=1e-8)

    @jax.jit
    def init(key: Any, rate: Any) -> Any:
        params, state = task.init(key)
        return params, state, adam(rate).init(params)

    def update(carry: Any, rate: Any, arrays: Any, indices: Any, index: Any, key: Any) -> Any:
        params, state, opt_state = carry
        batch = train.gather(arrays, indices[index], None, augment=False)
        loss_of = jax.grad(task.loss, has_aux=True)
        grads, state = loss_of(params, state, jax.random.fold_in(key, index), batch, train=True)
        updates, opt_state = adam(rate).update(grads, opt_state, params)
        return optax.apply_updates(params, updates), state, opt_state

    step = jax.jit(update, donate_argnums=0)
    key = jax.random.key(0)

    @jax.jit
    def train_loss(params: Any, state: Any, batch: Any) -> Any:
        return task.loss(params, state, key, batch, train=False)[0]

    @jax.jit
    def heldout_metrics(params: Any, state: Any, batch: Any) -> Any:
        return task.metrics(params, state, key, batch)

    indices = jax.device_put(train.indices(0, 0, protocol.steps, spec.batch_size))

    def train_lanes() -> None:
        for rate in RATES:
            rate = np.float32(rate)
            carry = init(key, rate)
            curve = []
            for index in range(protocol.steps + 1):
                if index % protocol.eval_every == 0:
                    curve.append(train_loss(carry[0], carry[1], examples["train"]))
                if index % protocol.heldout_every == 0 or index == protocol.steps:
                    curve.append(heldout_metrics(carry[0], carry[1], examples["heldout"]))
                if index < protocol.steps:
                    carry = step(carry, rate, train.arrays, indices, np.int32(index), key)
            jax.device_get(curve)

    return train_lanes


@dataclass(frozen=True)
class Modes:
    """What ways to train the lanes of a task take.

    Attributes:
      memory_bytes: What a lane is predicted to need.
      microseconds: Of a step and lane, by the way; ``vmap5`` are five lanes in one program.
      compile_seconds: Of the first call, by the way.
    """

    task: str
    mflop: float
    memory_bytes: int
    microseconds: dict[str, float]
    compile_seconds: dict[str, float]


def measure_modes(
    name: str, *, lanes: Sequence[int] = (5, 15), clock: Callable[[], float] = time.process_time
) -> Modes:
    """Measure one lane in a compiled loop, one stepped from Python, and so many lanes vmapped."""
    of_demo = name.startswith("demo-")
    suite = load_suite("demo") if of_demo else suite_of(name)
    index = int(name.removeprefix("demo-")) if of_demo else 0
    of_task = CompiledTask(suite, index)
    task, adam, every = suite.tasks[index], optimizers.get("adam"), suite.protocol.eval_every
    block = of_task.data.training_block(0, 0, every, 1000)
    stacked = jax.tree.map(lambda leaf: leaf[None], block)
    single = [jax.tree.map(lambda leaf, at=at: leaf[at : at + 1], block) for at in range(every)]
    calls: dict[str, tuple[Callable[[], object], int]] = {}
    compiled: dict[str, float] = {}
    for mode, count in {"sequential": 1, "stepped": 1, **{f"vmap{n}": n for n in lanes}}.items():
        points = adam.points[-count:]
        if len(points) < count:
            points = [{"learning_rate": float(rate)} for rate in np.geomspace(1e-5, 1e-2, count)]
        lane_batch = of_task.lane_batch(
            adam, 1000, [0], points, list(range(count)), vmap=mode.startswith("vmap")
        )
        lane_batch.start(*lane_batch.initialize())

        batches = {"sequential": [block], "stepped": single}.get(mode, [stacked])
        calls[mode] = (partial(_train, lane_batch, batches), count)
        start = clock()
        jax.block_until_ready(calls[mode][0]())
        compiled[mode] = clock() - start
    samples: dict[str, list[float]] = {mode: [] for mode in calls}
    for _ in range(7):
        for mode, (call, count) in calls.items():
            start = clock()
            jax.block_until_ready(call())
            samples[mode].append((clock() - start) / count / every)
    cost = of_task.task.cost
    medians = {mode: statistics.median(times) * 1e6 for mode, times in samples.items()}
    return Modes(task.label, cost.flops / 1e6, cost.memory_bytes, medians, compiled)


def _train(lane_batch: LaneBatch, batches: Sequence[Any]) -> object:
    for batch in batches:
        lane_batch.train(batch, 0)
    return lane_batch.state


def modes(name: str) -> dict[str, object]:
    """Measure ways to train lanes of a task, in CPU microseconds a step and lane."""
    found = measure_modes(name)
    return {
        "task": found.task,
        "MFLOP": round(found.mflop, 2),
        **{mode: f"{value:.0f}us" for mode, value in found.microseconds.items()},
        **{f"compile_{mode}": f"{value:.1f}s" for mode, value in found.compile_seconds.items()},
    }
