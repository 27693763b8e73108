"""Small tasks of every family, and batches for them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import velodrome
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.cost.tracing import traced_cost
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.spec import TaskSpec

SMALL = {
    "mlp": ({"hidden_size": 9, "num_layers": 2, "image_size": 5}, "digits"),
    "cnn": ({"hidden_size": 4, "num_layers": 2, "image_size": 5}, "photos"),
    "rnn": (
        {"rnn_size": 6, "embed_size": 5, "sequence_length": 6, "vocab_size": 21, "cell": "gru"},
        "kjv",
    ),
    "transformer": (
        {
            "d_model_per_head": 4,
            "num_heads": 2,
            "key_size": 3,
            "num_layers": 1,
            "sequence_length": 6,
            "vocab_size": 21,
        },
        "kjv",
    ),
    "tabular_mlp": ({"hidden_size": 9, "num_layers": 2}, "breast_cancer"),
    "es_wrapped": ({"hidden_size": 9, "num_layers": 2, "image_size": 5}, "digits"),
    "learned_optimizer": (
        {"hidden_size": 9, "image_size": 5, "inner_batch_size": 3, "unroll_length": 4},
        "digits",
    ),
    "learned_optimizer_pes": (
        {
            "hidden_size": 9,
            "image_size": 5,
            "inner_batch_size": 3,
            "unroll_length": 4,
            "problem_length": 6,
            "problems": 5,
        },
        "digits",
    ),
}


def small_spec(family: str, **changes) -> TaskSpec:
    config, data = SMALL[family]
    return TaskSpec(family, {**config, **changes}, DataSpec(data), 4)


def traced(spec: TaskSpec) -> Cost:
    """What the program of a task costs; nothing is compiled."""
    task = velodrome.build(spec)
    return traced_cost(task.shapes, task.loss, batch_shapes(spec.view, spec.batch_size))


def quick(function, **options):
    """Compiled with little care: these tests compile much and compute little."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **options)


def random_batch(spec: TaskSpec, key):
    classes = spec.info.num_classes or spec.info.vocab_size
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def make(shape):  # with numpy, which compiles nothing
        if shape.dtype == jnp.float32:
            return jnp.asarray(generator.random(shape.shape, np.float32))
        return jnp.asarray(generator.integers(1, classes, shape.shape, np.int32))

    return {name: make(shape) for name, shape in batch_shapes(spec.view, spec.batch_size).items()}


def logit_gaps(task, params, state, obs):
    """Return logit 2 minus logit 1 at each time, read off the loss by changing one target.

    Returns:
      f32[T], for the whole batch together.
    """
    key = jax.random.key(0)

    def loss(target):
        return task.metrics(params, state, key, {"obs": obs, "target": target})["loss"][0]

    ones = jnp.ones_like(obs)
    return jnp.stack([loss(ones) - loss(ones.at[:, time].set(2)) for time in range(obs.shape[1])])
