"""Training a learned optimizer: the parameters are an update rule's weights.

The published tasks ``LOpt_*`` and the published family ``lopt``. The loss is the mean training
loss of an inner task over an unroll from a fresh initialisation, and its gradient is taken through
the unroll, or estimated by evolution strategies. Every evaluation of the loss starts a new inner
problem; held-out evaluation does so on held-out examples.

A batch is dealt out to the inner batches of the unroll in order, restarting at its end where it is
too small. The batch of the published tasks is always large enough.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.taskgen.families.learned_optimizer.config import LearnedOptimizerConfig
from velodrome.taskgen.families.learned_optimizer.inner import (
    Carry,
    deal,
    open_inner,
    outer_functions,
)
from velodrome.taskgen.functions import Dynamic, TaskFunctions
from velodrome.taskgen.nn.evolution import evolution_gradient, with_gradient
from velodrome.taskgen.views import ImageView


def build(config: LearnedOptimizerConfig, view: ImageView, precision: str) -> TaskFunctions:
    inner = open_inner(config, view, precision)
    per_problem = config.unroll_length * config.inner_batch_size

    def init(key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]:
        del dynamic  # the rule's weights do not depend on it
        return inner.rule.init(key), {}

    def unrolled(weights, key, batch, first: jax.Array, dynamic) -> jax.Array:
        """Return the mean loss of an inner problem whose examples start with ``first``."""
        start_key, loop_key = jax.random.split(key)

        def step(carry: Carry, index: jax.Array) -> tuple[Carry, jax.Array]:
            examples = jnp.arange(config.inner_batch_size, dtype=jnp.int32)
            rows = first + index * config.inner_batch_size + examples
            step_key = jax.random.fold_in(loop_key, index)
            return inner.step(weights, carry, step_key, deal(batch, rows), dynamic)

        # Only the carries are kept for the backward pass; a step is computed again there.
        step = jax.checkpoint(step, prevent_cse=False)
        indices = jnp.arange(config.unroll_length, dtype=jnp.int32)
        _, values = jax.lax.scan(step, inner.start(start_key, dynamic), indices)
        return values.mean()

    def training_loss(weights, state, key, batch, dynamic):
        keys = jax.random.split(key, config.problems)
        firsts = per_problem * jnp.arange(config.problems, dtype=jnp.int32)
        problems = jax.vmap(unrolled, in_axes=(None, 0, None, 0, None))
        return problems(weights, keys, batch, firsts, dynamic).mean(), state

    estimated = training_loss
    if config.es_pairs:
        gradient = evolution_gradient(
            training_loss, pairs=config.es_pairs, std=lambda dynamic: config.es_std
        )
        estimated = with_gradient(training_loss, gradient)

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        del train  # an evaluation trains the inner task as well
        return estimated(params, state, key, batch, dynamic)

    return outer_functions(view, init=init, loss=loss)
