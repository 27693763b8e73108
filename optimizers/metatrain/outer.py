"""The outer step: particles around the weights, an estimate from their losses, Adam on that."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array

from optimizers.metatrain.config import OuterConfig
from optimizers.metatrain.estimator import Estimate, estimate, perturb, sample_perturbations
from optimizers.velo import VeLOWeights


def scale_tree(scales: Mapping[str, float]) -> VeLOWeights:
    """Returns a scale for each array of the weights: that of its group, 1 for the others."""
    groups = {
        name: next((group for group in scales if name.startswith(group)), None)
        for name in VeLOWeights._fields
    }
    values: dict[str, Any] = {
        name: scales[group] if group else 1.0 for name, group in groups.items()
    }
    return VeLOWeights(**values)


class OuterState(NamedTuple):
    """All that changes from one outer step to the next."""

    theta: VeLOWeights
    average: VeLOWeights
    adam: Any


def outer_optimizer(config: OuterConfig) -> optax.GradientTransformationExtraArgs:
    """Returns Adam with clipping, warm-up and schedule."""
    peak = config.learning_rate
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(config.steps - config.warmup, 1), alpha=0.01)
    else:
        after = optax.constant_schedule(peak)
    warmup = optax.linear_schedule(peak / max(config.warmup, 1), peak, max(config.warmup, 1))
    schedule = optax.join_schedules([warmup, after], [config.warmup]) if config.warmup else after
    clip = optax.clip(config.clip) if config.clip > 0 else optax.identity()
    return optax.with_extra_args_support(
        optax.chain(clip, optax.adam(schedule, b1=config.b1, b2=config.b2))
    )


def init_state(theta: VeLOWeights, config: OuterConfig) -> OuterState:
    """Returns the state before the first outer step."""
    return OuterState(theta, theta, outer_optimizer(config).init(theta))


@partial(jax.jit, static_argnames=("pairs",))
def make_lanes(
    theta: VeLOWeights, key: Array, scales: VeLOWeights, *, sigma: ArrayLike, pairs: int
) -> VeLOWeights:
    """Returns the weights of all particles: plus and minus of the first pair, and so on."""
    noise = sample_perturbations(key, theta, pairs=pairs)
    both = perturb(theta, noise, scales, sigma=sigma)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), both)


@partial(jax.jit, static_argnames=("pairs", "shaping"))
def estimate_from_lanes(
    theta: VeLOWeights, key: Array, losses: Array, *, sigma: ArrayLike, pairs: int, shaping: str
) -> Estimate:
    """Returns the estimate from the lanes' losses; ``key`` gives the same perturbations again."""
    noise = sample_perturbations(key, theta, pairs=pairs)
    return estimate(losses.reshape(pairs, 2), noise, sigma=sigma, shaping=shaping)


@partial(jax.jit, static_argnames=("config",))
def apply_gradient(
    state: OuterState, gradient: VeLOWeights, scales: VeLOWeights, *, config: OuterConfig
) -> tuple[OuterState, Array]:
    """Returns the next state, and the norm of the gradient."""
    updates, adam = outer_optimizer(config).update(gradient, state.adam, state.theta)
    theta = jax.tree.map(
        lambda leaf, update, scale: leaf + scale * update, state.theta, updates, scales
    )
    # The average forgets its first values as fast as it can: by the plain mean at first.
    decay = jnp.minimum(config.average, 1.0 - 1.0 / (_count(adam) + 1.0))
    average = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.average, theta)
    return OuterState(theta, average, adam), optax.tree.norm(gradient)


def _count(adam: Any) -> jax.Array:
    counts = [
        leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(adam)[0]
        if "count" in jax.tree_util.keystr(path)
    ]
    return counts[0].astype(jnp.float32)
