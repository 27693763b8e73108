"""Ways to train the lanes of a task: the runner's, a competent user's, and some alternatives."""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import numpy as np
import optax
from sweep_worker import RATES, suite_of

import velodrome
from velodrome.optimizers.registry import optimizers
from velodrome.suites.catalog import load_suite
from velodrome.suites.training.compiled_task import CompiledTask
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


def modes(name: str) -> dict[str, Any]:
    """Measure ways to train lanes of a task, in CPU microseconds a step and lane."""
    of_demo = name.startswith("demo-")
    suite = load_suite("demo") if of_demo else suite_of(name)
    index = int(name.removeprefix("demo-")) if of_demo else 0
    of_task = CompiledTask(suite, index)
    task, adam, every = suite.tasks[index], optimizers.get("adam"), suite.protocol.eval_every
    points = adam.points
    block = of_task.data.training_block(0, 0, every, 1000)
    stacked = jax.tree.map(lambda leaf: leaf[None], block)
    single = [jax.tree.map(lambda leaf, at=at: leaf[at : at + 1], block) for at in range(every)]
    calls: dict[str, tuple[Any, int]] = {}
    compiled: dict[str, float] = {}
    # vmapped over 5 or 15 lanes; or one lane, in a compiled loop or stepped from Python
    for mode, lanes in (("sequential", 1), ("stepped", 1), ("vmap5", 5), ("vmap15", 15)):
        lane_batch = of_task.lane_batch(
            adam, 1000, [0], points[-lanes:], list(range(lanes)), vmap=mode.startswith("vmap")
        )
        lane_batch.start(*lane_batch.initialize())

        def call(lane_batch: Any = lane_batch, mode: str = mode) -> Any:
            batches = {"sequential": [block], "stepped": single}.get(mode, [stacked])
            for batch in batches:
                lane_batch.train(batch, 0)
            return lane_batch.state

        start = time.process_time()
        jax.block_until_ready(call())
        compiled[mode] = time.process_time() - start
        calls[mode] = (call, lanes)
    samples: dict[str, list[float]] = {mode: [] for mode in calls}
    for _ in range(7):
        for mode, (call, lanes) in calls.items():
            start = time.process_time()
            jax.block_until_ready(call())
            samples[mode].append((time.process_time() - start) / lanes / every)
    return {
        "task": task.label,
        "MFLOP": round(of_task.task.cost.flops / 1e6, 2),
        **{mode: f"{statistics.median(times) * 1e6:.0f}us" for mode, times in samples.items()},
        **{f"compile_{mode}": f"{seconds:.1f}s" for mode, seconds in compiled.items()},
    }
