"""Timing the training step of a task on this machine, on made-up data."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.taskgen.build import batch_shapes, build
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.spec import TaskSpec

_LEARNING_RATE = 1e-3


def random_batch(spec: TaskSpec, *, seed: int = 0) -> dict[str, Any]:
    """Returns a batch of the right shapes and ranges, with random content."""
    info = datasets.get(spec.data.name).info
    generator = np.random.default_rng(seed)
    batch = {}
    for name, shape in batch_shapes(spec.family_object, spec, info).items():
        if shape.dtype == jnp.float32:
            batch[name] = generator.random(shape.shape, np.float32)
        else:
            classes = info.num_classes if info.kind == "image" else info.vocab_size
            batch[name] = generator.integers(1, classes, shape.shape, np.int32)
    return batch


def measure_step_seconds(
    specs: Sequence[TaskSpec], *, repeats: int = 5, seconds: int | float = 0.1
) -> list[float]:
    """Returns the seconds of a step of gradient descent, for each spec.

    Steps run inside one compiled loop, as they do in training. The tasks take turns, so that a
    machine whose speed drifts treats them alike; the shortest timing is returned, the one that
    other programs disturbed least.

    Args:
      specs: The tasks.
      repeats: Timings of each, at least 1.
      seconds: Rough length of a timing.
    """
    programs = [_Program(spec, seconds) for spec in specs]
    timings = [[program.time() for program in programs] for _ in range(repeats)]
    return [min(column) for column in zip(*timings, strict=True)]


class _Program:
    """A compiled loop of training steps, of a length that takes about ``seconds``."""

    def __init__(self, spec: TaskSpec, seconds: int | float):
        task = build(spec)
        self._batch = random_batch(spec)
        self._key = jax.random.key(0)
        self._params, self._state = jax.jit(task.init)(self._key)

        def run(params: Any, state: Any, batch: Any, key: Any, steps: Any) -> Any:
            def step(index: Any, carry: Any) -> Any:
                params, state = carry
                gradient, state = jax.grad(task.loss, has_aux=True)(
                    params, state, jax.random.fold_in(key, index), batch, train=True
                )
                params = jax.tree.map(lambda p, g: p - _LEARNING_RATE * g, params, gradient)
                return params, state

            return jax.lax.fori_loop(0, steps, step, (params, state))

        self._run = jax.jit(run)
        self._time(1)  # compiles
        self._steps = 1
        while (taken := self._time(self._steps)) < seconds / 2:
            self._steps = math.ceil(self._steps * min(max(seconds / taken, 2), 8))

    def _time(self, steps: int) -> float:
        arguments = (self._params, self._state, self._batch, self._key, np.int32(steps))
        start = time.perf_counter()
        jax.block_until_ready(self._run(*arguments))
        return time.perf_counter() - start

    def time(self) -> float:
        """Returns the seconds of a step, from one timing."""
        return self._time(self._steps) / self._steps
