"""Sweep throughput: ``pytest benchmarks/test_sweep_throughput.py --benchmark-enable -s``.

The runner's lanes against what a competent user writes on the same tasks, data and evaluations:
one jitted and donated step, evaluation in one jitted call, nothing in the loop that waits for the
device, one run after another, and all cores for it. Both arms are warm, and take turns.

The runner's arm is what its worker processes do with a shard: one process for each core, pinned,
five lanes of one seed each. The user's arm is one process without limits.

`test_batching_modes` measures what the batching rule rests on (docs/running.md): the ways to train
lanes in one thread, in CPU time, which is steady on a machine that others use.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

ROUNDS = 5
LANES = 5
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

# name: (family, config, data, batch size, steps of a lane in a round, least ratio)
TASKS: dict[str, tuple[str, dict[str, Any], str, int, int, float]] = {
    "mlp-784-128-128-10": (
        "mlp",
        {"hidden_size": 128, "num_layers": 2, "image_size": 28},
        "mnist5k",
        128,
        400,
        1.8,  # bound by matrix products that both arms run alike, see docs/running.md
    ),
    "mlp-64-16-16-10": (
        "mlp",
        {"hidden_size": 16, "num_layers": 2, "image_size": 8},
        "digits",
        16,
        2000,
        2.0,
    ),
    "mlp-196-32-32-32-10": (
        "mlp",
        {"hidden_size": 32, "num_layers": 3, "image_size": 14},
        "mnist5k",
        64,
        1000,
        2.0,
    ),
    "cnn-3x3": (
        "cnn",
        {"hidden_size": 32, "num_layers": 3, "num_stride2": 1, "image_size": 16},
        "photos",
        64,
        20,
        1.0,
    ),
    "gru-t32": (
        "rnn",
        {"cell": "gru", "rnn_size": 128, "embed_size": 64, "sequence_length": 32},
        "kjv",
        32,
        50,
        1.0,
    ),
    "lstm-t32": (
        "rnn",
        {"cell": "lstm", "rnn_size": 128, "embed_size": 64, "sequence_length": 32},
        "kjv",
        32,
        50,
        1.0,
    ),
    "transformer-2x64-t32": (
        "transformer",
        {"d_model_per_head": 32, "num_heads": 2, "num_layers": 2, "sequence_length": 32},
        "kjv",
        32,
        50,
        1.0,
    ),
}


@pytest.mark.parametrize("name", list(TASKS))
def test_sweep_throughput(benchmark, name):
    steps, least = TASKS[name][4:]
    cores = sorted(os.sched_getaffinity(0))
    user = [_Worker("user", name, [])]
    ours = [_Worker("ours", name, [core]) for core in cores]
    try:
        for worker in (*user, *ours):
            worker.begin()
        for worker in (*user, *ours):
            worker.wait()  # compiled and warm

        def rounds() -> list[tuple[float, float]]:
            return [(_seconds(user), _seconds(ours) / len(ours)) for _ in range(ROUNDS)]

        before = [_cpu_seconds(arm) for arm in (user, ours)]
        seconds = benchmark.pedantic(rounds, rounds=1)
        spent = [_cpu_seconds(arm) - then for arm, then in zip((user, ours), before, strict=True)]
    finally:
        for worker in (*user, *ours):
            worker.end()
    ratios = [theirs / mine for theirs, mine in seconds]
    theirs, mine = (
        statistics.median(column) / LANES / steps for column in zip(*seconds, strict=True)
    )
    # On a machine that others use, this is steadier: how much less computing a lane takes.
    cpu_ratio = spent[0] / (spent[1] / len(ours))
    ratio = statistics.median(ratios)
    print(
        f"\n{name:22} user {theirs * 1e6:8.0f} us, runner {mine * 1e6:8.0f} us a step and lane: "
        f"{ratio:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}), CPU time {cpu_ratio:.2f}x, "
        f"{len(cores)} cores"
    )
    benchmark.extra_info.update(
        ratio=ratio, cpu_ratio=cpu_ratio, lowest=min(ratios), highest=max(ratios)
    )
    assert ratio >= least


@pytest.mark.parametrize("name", [*(f"demo-{index}" for index in range(8)), *TASKS])
def test_batching_modes(benchmark, name):
    worker = _Worker("modes", name, sorted(os.sched_getaffinity(0))[:1])
    try:
        worker.begin()
        assert worker.process.stdout is not None
        found = json.loads(
            benchmark.pedantic(worker.process.stdout.readline, rounds=1, iterations=1)
        )
    finally:
        worker.end()
    print("\n" + "  ".join(f"{name} {value}" for name, value in found.items()))


def _seconds(workers: list[_Worker]) -> float:
    """Wall seconds in which each of the workers trains its lanes once."""
    start = time.perf_counter()
    for worker in workers:
        worker.begin()
    for worker in workers:
        worker.wait()
    return time.perf_counter() - start


def _cpu_seconds(workers: list[_Worker]) -> float:
    times = [psutil.Process(worker.process.pid).cpu_times() for worker in workers]
    return sum(time.user + time.system for time in times)


class _Worker:
    """A process that trains `LANES` lanes whenever it is told to."""

    def __init__(self, arm: str, name: str, cores: list[int]):
        threads = {"NPROC": "1", "OMP_NUM_THREADS": "1"} if cores else {}
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
        self.process = subprocess.Popen(
            [sys.executable, __file__, arm, name, json.dumps(cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": root, "XLA_FLAGS": ""},
            text=True,
        )

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n", "the process died"

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _suite(name: str) -> Any:
    from suites.protocol import Protocol
    from suites.suite import Suite
    from taskgen.spec import DataSpec, TaskSpec

    family, config, data, batch_size, steps, _ = TASKS[name]
    spec = TaskSpec(family=family, config=config, data=DataSpec(data), batch_size=batch_size)
    protocol = Protocol(
        steps=steps, seeds=1, baseline_multiple=1, learning_rates=RATES, heldout_every=50
    )
    return Suite(name, (spec,), protocol, ("adam",))


def ours(name: str) -> Any:
    """What a worker process does with a shard, without reading and writing the store."""
    from optimizers.registry import optimizers
    from suites.execute import TaskBench
    from suites.lanes import LaneLoop

    suite = _suite(name)
    bench = TaskBench(suite, 0)
    adam, steps = optimizers.get("adam"), suite.protocol.steps
    points = [{"learning_rate": rate} for rate in RATES]

    def train_lanes() -> None:
        groups = [
            bench.group(adam, steps, [0], [point], [lane]) for lane, point in enumerate(points)
        ]
        loop = LaneLoop(bench.data, groups, horizon=steps)
        loop.run(lambda _: True)
        assert len(loop.records.columns({})["value"]) > 0

    return train_lanes


def user(name: str) -> Any:
    """What a competent user writes."""
    import jax
    import numpy as np
    import optax

    import taskgen
    from taskgen.data.source import open_source

    suite = _suite(name)
    spec, protocol = suite.tasks[0], suite.protocol
    task = taskgen.build(spec)
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
    """Measures ways to train lanes of a task; CPU microseconds a step and lane."""
    import jax
    import numpy as np

    from optimizers.registry import optimizers
    from suites.execute import TaskBench
    from suites.suite import load_suite

    of_demo = name.startswith("demo-")
    suite = load_suite("demo") if of_demo else _suite(name)
    index = int(name.removeprefix("demo-")) if of_demo else 0
    bench = TaskBench(suite, index)
    task, adam, every = suite.tasks[index], optimizers.get("adam"), suite.protocol.eval_every
    points = adam.points
    block = bench.data.training_block(0, 0, every, 1000)
    stacked = jax.tree.map(lambda leaf: leaf[None], block)
    single = [jax.tree.map(lambda leaf, at=at: leaf[at : at + 1], block) for at in range(every)]
    calls: dict[str, tuple[Any, int]] = {}
    compiled: dict[str, float] = {}
    # vmapped over so many lanes; or one lane, in a compiled loop or stepped from Python
    for mode, lanes in (("sequential", 1), ("stepped", 1), ("vmap5", 5), ("vmap15", 15)):
        group = bench.group(
            adam, 1000, [0], points[-lanes:], list(range(lanes)), vmap=mode.startswith("vmap")
        )
        group.state = group.start()

        def call(group: Any = group, mode: str = mode) -> Any:
            batches = {"sequential": [block], "stepped": single}.get(mode, [stacked])
            for batch in batches:
                group.state = group.programs.train(
                    group.state, group.traced, batch, group.seed_argument, np.int32(0)
                )
            return group.state

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
        "MFLOP": round(bench.task.cost.flops / 1e6, 2),
        **{mode: f"{statistics.median(times) * 1e6:.0f}us" for mode, times in samples.items()},
        **{f"compile_{mode}": f"{seconds:.1f}s" for mode, seconds in compiled.items()},
    }


def _serve(arm: str, name: str, cores: list[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    from suites.numerics import numerics

    with numerics():
        if arm == "modes":
            print(json.dumps(modes(name)), flush=True)
            return
        train_lanes = {"ours": ours, "user": user}[arm](name)
        for _ in sys.stdin:
            train_lanes()
            print("done", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
