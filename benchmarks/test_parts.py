"""Measure a batch in parts: ``pytest benchmarks/test_parts.py --benchmark-enable -s``.

The memory is the compiler's, for the step of a network with Adam; docs/how-to/memory.md has the
figures. On a CPU bfloat16 is emulated, so only its memory says something.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax
import pytest

import velodrome
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.spec import DataSpec, TaskSpec

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
@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("name", TASKS)
def test_a_step_in_parts(benchmark, name, parts, precision):
    spec = dataclasses.replace(TASKS[name], grad_accumulation=parts, precision=precision)
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
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    print(
        f"\n{name}, {parts} parts, {precision}: {used / 1e6:.0f} MB compiled, "
        f"{velodrome.cost(spec).memory_bytes / 1e6:.0f} MB predicted"
    )
    benchmark.pedantic(
        lambda: jax.block_until_ready(compiled(*arguments)), rounds=5, warmup_rounds=1
    )
    print(f"{benchmark.stats.stats.median:.2f} s")
