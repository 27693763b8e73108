"""The outer step: particles around the weights, an estimate from their losses, Adam on that."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from velodrome.optimizers.metatrain.config.outer import OuterConfig
from velodrome.optimizers.metatrain.es.estimator import perturb
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.nn.evolution import unit_noise


def scale_tree(scales: Mapping[str, float]) -> VeLOWeights:
    """Return a scale for each array of the weights: that of its group, 1 for the others."""
    groups = {
        name: next((group for group in scales if name.startswith(group)), None)
        for name in VeLOWeights._fields
    }
    return VeLOWeights.of({name: scales[group] if group else 1.0 for name, group in groups.items()})


class OuterState(NamedTuple):
    """All that changes from one outer step to the next."""

    theta: VeLOWeights
    average: VeLOWeights
    adam: PyTree


def outer_optimizer(config: OuterConfig) -> optax.GradientTransformationExtraArgs:
    """Return Adam with clipping, warm-up and schedule."""
    peak = config.learning_rate
    # In steps of Adam, of which there are fewer where gradients are accumulated.
    steps, warmup_steps = (n // config.accumulate for n in (config.steps, config.warmup))
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(steps - warmup_steps, 1), alpha=0.01)
    else:
        after = optax.constant_schedule(peak)
    warmup = optax.linear_schedule(peak / max(warmup_steps, 1), peak, max(warmup_steps, 1))
    schedule = optax.join_schedules([warmup, after], [warmup_steps]) if warmup_steps else after
    clip = optax.clip(config.clip) if config.clip > 0 else optax.identity()
    adam = optax.adam(schedule, b1=config.b1, b2=config.b2)
    if config.accumulate > 1:
        adam = optax.MultiSteps(adam, config.accumulate).gradient_transformation()
    return optax.with_extra_args_support(optax.chain(clip, adam))


def init_state(theta: VeLOWeights, config: OuterConfig) -> OuterState:
    return OuterState(theta, theta, outer_optimizer(config).init(theta))


@partial(jax.jit, static_argnames=("pairs",))
def make_lanes(
    theta: VeLOWeights, key: Array, scales: VeLOWeights, *, sigma: ArrayLike, pairs: int
) -> VeLOWeights:
    """Return the weights of all particles: plus and minus of the first pair, and so on."""
    noise = unit_noise(key, theta, pairs)
    both = perturb(theta, noise, scales, sigma=sigma)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), both)


@partial(jax.jit, static_argnames=("config",))
def apply_gradient(
    state: OuterState, gradient: VeLOWeights, scales: VeLOWeights, *, config: OuterConfig
) -> tuple[OuterState, Array]:
    """Return the next state, and the norm of the gradient."""
    # Groups that are not searched have nothing but noise for a gradient.
    gradient = jax.tree.map(lambda g, scale: jnp.where(scale > 0, g, 0.0), gradient, scales)
    updates, adam = outer_optimizer(config).update(gradient, state.adam, state.theta)
    theta = jax.tree.map(
        lambda leaf, update, scale: leaf + scale * update, state.theta, updates, scales
    )
    # The average forgets its first values as fast as it can: by the plain mean at first.
    decay = jnp.minimum(config.average, 1.0 - 1.0 / (_count(adam) + 1.0))
    average = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.average, theta)
    return OuterState(theta, average, adam), optax.tree.norm(gradient)


def _count(adam: PyTree) -> Array:
    counts = [
        leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(adam)[0]
        if "count" in jax.tree_util.keystr(path)
    ]
    return counts[0].astype(jnp.float32)
