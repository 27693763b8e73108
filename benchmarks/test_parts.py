"""Measure a batch in parts: ``pytest benchmarks/test_parts.py --benchmark-enable -s``.

Time, the compiler's memory for a step with Adam, and the predicted one: docs/how-to/memory.md has
the figures. The compiler for CPUs widens bfloat16, so that saves nothing there; what the backward
pass keeps is therefore counted from the traced program.
"""

from __future__ import annotations

import dataclasses
import time

import jax
import jax.numpy as jnp
import optax
import pytest

import velodrome
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.spec import TaskSpec

TASKS = {
    "transformer": TaskSpec(
        "transformer",
        {"d_model_per_head": 32, "num_heads": 4, "num_layers": 4, "sequence_length": 128},
        DataSpec("kjv"),
        64,
    ),
    "resnet": TaskSpec("resnet", {"image_size": 32, "max_pool": False}, DataSpec("photos"), 64),
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TASKS)
def test_what_the_backward_pass_keeps(benchmark, name, precision):
    task = velodrome.build(dataclasses.replace(TASKS[name], precision=precision))

    def keep(params, state, key, batch):
        return jax.vjp(lambda p: task.loss(p, state, key, batch, train=True)[0], params)[1]

    key = jax.eval_shape(lambda: jax.random.key(0))
    batch = batch_shapes(task.spec.view, task.spec.batch_size)
    kept = benchmark.pedantic(lambda: jax.eval_shape(keep, *task.shapes, key, batch))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))
    predicted = task.cost.activation_bytes
    print(f"\n{name}, {precision}: {size / 1e6:.0f} MB kept, {predicted / 1e6:.0f} MB predicted")


@pytest.mark.benchmark(timer=time.process_time)  # others use the cores too
@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("name", TASKS)
def test_a_step_in_parts(benchmark, name, parts):
    spec = dataclasses.replace(TASKS[name], grad_accumulation=parts)
    task, adam = velodrome.build(spec), optax.adam(1e-3)

    def step(params, state, opt_state, key, batch):
        (_, state), slope = jax.value_and_grad(task.loss, has_aux=True)(
            params, state, key, batch, train=True
        )
        updates, opt_state = adam.update(slope, opt_state, params)
        return optax.apply_updates(params, updates), state, opt_state

    params, state = task.init(jax.random.key(0))
    batch = {
        name: jnp.ones(shape.shape, shape.dtype)
        for name, shape in batch_shapes(spec.view, spec.batch_size).items()
    }
    arguments = (params, state, adam.init(params), jax.random.key(1), batch)
    compiled = jax.jit(step).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    print(
        f"\n{name}, {parts} parts: {used / 1e6:.0f} MB compiled, "
        f"{velodrome.cost(spec).memory_bytes / 1e6:.0f} MB predicted"
    )
    benchmark.pedantic(
        lambda: jax.block_until_ready(compiled(*arguments)), rounds=5, warmup_rounds=1
    )
    print(f"{benchmark.stats.stats.median:.2f} s of CPU time")
