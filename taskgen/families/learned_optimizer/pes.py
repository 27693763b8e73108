"""Training a learned optimizer by persistent evolution strategies (``LOptPES_*``).

Several inner problems are trained side by side, each by two perturbed copies of the rule, a few
inner steps for each outer step: truncated unrolls. The sum of an inner problem's perturbations is
kept, so that the effect of earlier truncations on a loss is credited to them (Vicol et al. 2021,
arXiv 2112.13835): the estimate has no truncation bias. The task's state is where the inner problems
stand.

An inner problem ends after ``problem_length`` steps; the next step starts a new one and gives no
loss. At first the problems are spread over their lengths, so that they do not start together.

In the published code a problem counts as new from its last step on. So with
``credit="published"`` the loss of that step is credited to the newest perturbation alone, although
the earlier ones have led to it; and the sum begins again with the truncation of that step, also if
the new problem starts only in the next one and has not seen its perturbation. With "exact" there is
no such bias.

Evaluation continues from the state by one truncation with perturbed rules, as published, and
forgets where that led. (The published tasks evaluate all splits on training data; here each split
uses its data.)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.taskgen.families.learned_optimizer.config import LearnedOptimizerPESConfig
from velodrome.taskgen.families.learned_optimizer.inner import deal, open_inner, outer_functions
from velodrome.taskgen.functions import Dynamic, TaskFunctions
from velodrome.taskgen.nn.evolution import unit_noise, with_gradient
from velodrome.taskgen.views import ImageView


def build(config: LearnedOptimizerPESConfig, view: ImageView, precision: str) -> TaskFunctions:
    inner = open_inner(config, view, precision)
    per_problem = config.unroll_length * config.inner_batch_size
    signs = jnp.asarray([1.0, -1.0], jnp.float32)
    published = config.credit == "published"

    def init(key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]:
        weights_key, start_key, counter_key = jax.random.split(key, 3)
        weights = inner.rule.init(weights_key)
        keys = jax.random.split(start_key, config.problems)
        carries = jax.vmap(inner.start, in_axes=(0, None))(keys, dynamic)
        state = {
            "carries": jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], axis=1), carries),
            "counter": jax.random.randint(
                counter_key, (config.problems,), 0, config.problem_length, jnp.int32
            ),
            "perturbations": jax.tree.map(
                lambda leaf: jnp.zeros((config.problems, *leaf.shape), jnp.float32), weights
            ),
        }
        return weights, state

    def truncation(pair, carries, counter, key, batch, first, dynamic):
        """Advance one inner problem, with both of its rules.

        Returns:
          carries, counter, number of new starts, whether the sum of perturbations begins again;
          and for each step its losses f32[unroll, 2], 1 if it counts, and 1 if the sum is its
          cause, both f32[unroll].
        """
        fresh_key, loop_key = jax.random.split(key)
        fresh_keys = jax.random.split(fresh_key, config.restarts)
        fresh = jax.vmap(inner.start, in_axes=(0, None))(fresh_keys, dynamic)

        def step(state, index: jax.Array):
            carries, counter, started, renewed = state
            examples = jnp.arange(config.inner_batch_size, dtype=jnp.int32)
            rows = first + index * config.inner_batch_size + examples
            moved, values = jax.vmap(inner.step, in_axes=(0, 0, None, None, None))(
                pair,
                carries,
                jax.random.fold_in(loop_key, index),
                deal(batch, rows),
                dynamic,
            )
            over = counter >= config.problem_length
            carries = jax.tree.map(
                lambda new, old: jnp.where(over, new[started][None], old), fresh, moved
            )
            counter = jnp.where(over, 0, counter + 1)
            counts = jnp.where(over, 0.0, 1.0).astype(jnp.float32)
            renewed |= counter == config.problem_length if published else over
            before = jnp.where(renewed, 0.0, 1.0).astype(jnp.float32)
            return (carries, counter, jnp.where(over, started + 1, started), renewed), (
                values,
                counts,
                before,
            )

        start = (carries, counter, jnp.int32(0), jnp.bool_(False))
        end, steps = jax.lax.scan(step, start, jnp.arange(config.unroll_length, dtype=jnp.int32))
        return *end, *steps

    def estimate(weights, state, key, batch, dynamic):
        noise_key, problems_key = jax.random.split(key)
        noise = unit_noise(noise_key, weights, config.problems)
        pairs = jax.tree.map(
            lambda leaf, step: (
                leaf[None, None] + config.std * step[:, None] * _column(signs, leaf)[None]
            ),
            weights,
            noise,
        )
        carries, counter, _, renewed, values, counts, before = jax.vmap(
            truncation, in_axes=(0, 0, 0, 0, None, 0, None)
        )(
            pairs,
            state["carries"],
            state["counter"],
            jax.random.split(problems_key, config.problems),
            batch,
            per_problem * jnp.arange(config.problems, dtype=jnp.int32),
            dynamic,
        )
        share = counts / jnp.maximum(counts.sum(1, keepdims=True), 1.0)
        value = (share * values.mean(-1)).sum(1).mean()
        differences = share * (values[..., 0] - values[..., 1])
        # The loss of a new problem is due to the newest perturbation alone.
        old, new = (differences * before).sum(1), differences.sum(1)
        scale = 1 / (2 * config.std * config.problems)
        gradient = jax.tree.map(
            lambda sums, step: (
                scale * (jnp.tensordot(old, sums, axes=1) + jnp.tensordot(new, step, axes=1))
            ),
            state["perturbations"],
            noise,
        )
        # A new start forgets the earlier perturbations, and in the last step this one too.
        unseen = jnp.zeros_like(renewed) if published else counter == 0
        sums = jax.tree.map(
            lambda sums, step: (
                jnp.where(_column(unseen, step[0]), 0.0, step)
                + jnp.where(_column(renewed, step[0]), 0.0, sums)
            ),
            state["perturbations"],
            noise,
        )
        return value, {"carries": carries, "counter": counter, "perturbations": sums}, gradient

    estimated = with_gradient(lambda *args: estimate(*args)[:2], estimate)

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        value, moved = estimated(params, state, key, batch, dynamic)
        return value, moved if train else state

    return outer_functions(view, init=init, loss=loss)


def _column(vector: jax.Array, leaf: jax.Array) -> jax.Array:
    """Return ``vector`` with as many axes of size 1 after its first as ``leaf`` has axes."""
    return vector.reshape(-1, *(1,) * leaf.ndim)
