"""Throughput of meta-training: ``pytest benchmarks/test_metatrain.py --benchmark-only -s``.

One MLP task, eight antithetic pairs, 200 inner steps. Printed: inner steps times particles a
second, and the share of that time which the task's own forward and backward pass takes (the floor:
the same unroll with an optimizer that does nothing but a step of SGD).
"""

from __future__ import annotations

import statistics
import time

import jax
import jax.numpy as jnp
import optax

from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.optimizers.metatrain.es.program import make_particles, repeat_each
from velodrome.optimizers.metatrain.es.tasks import draw_problems, open_task
from velodrome.optimizers.metatrain.initial import structured_weights
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.spec import TaskSpec

PAIRS, STEPS, ROUNDS = 8, 200, 7
CONFIG = {"hidden_size": 32, "num_layers": 1, "image_size": 8}


def _sgd(rate, steps):
    del steps
    return optax.with_extra_args_support(optax.sgd(rate))


def test_inner_steps_per_second(benchmark):
    inner = open_task(TaskSpec("mlp", CONFIG, DataSpec("mnist5k"), 64), vary=("init_scale",))
    unroll = UnrollConfig(low=STEPS, high=STEPS)
    problems = repeat_each(
        draw_problems(inner, NamedRng(0, "benchmark"), count=PAIRS, batches=STEPS), 2
    )
    theta = structured_weights(jax.random.key(0), hidden=32, bank=16)
    lanes = repeat_each(jax.tree.map(lambda leaf: leaf[None], theta), 2 * PAIRS)
    learned = make_particles(inner, unroll)
    floor = make_particles(inner, unroll, _sgd)
    rates = jnp.full((2 * PAIRS,), 0.01, jnp.float32)

    def seconds(run, weights) -> float:
        began = time.perf_counter()
        jax.block_until_ready(run(weights, problems, STEPS))
        return time.perf_counter() - began

    for run, weights in ((learned, lanes), (floor, rates)):
        seconds(run, weights)  # compiles
    # Taken in turns, so that a slow phase of the machine slows both.
    pairs = [(seconds(learned, lanes), seconds(floor, rates)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    benchmark.extra_info["inner steps x particles / s"] = round(2 * PAIRS * STEPS / ours)
    benchmark.extra_info["share of the task"] = round(theirs / ours, 3)
    print(f"\n{2 * PAIRS * STEPS / ours:,.0f} inner steps/s; the task itself {theirs / ours:.0%}")
    benchmark.pedantic(seconds, args=(learned, lanes), rounds=3)
    assert theirs < ours
