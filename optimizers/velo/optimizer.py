"""`velo`: the optimizer for users, with weight decay and the longest run it was trained for."""

from __future__ import annotations

import math
import operator
import os
from typing import Any, NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.velo.controller import MIXTURE_SCALE, fold
from velodrome.optimizers.velo.door import STATE, checked
from velodrome.optimizers.velo.transform import scale_by_velo
from velodrome.optimizers.velo.weights.store import load_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights

#: The longest run VeLO was meta-trained for; longer ones accumulate gradients.
MAX_TRAINING_STEPS = 150_000


def velo(
    num_steps: ArrayLike,
    *,
    weights: str | os.PathLike[str] | VeLOWeights = "velo-tiny",
    weight_decay: float | Array = 0.0,
    max_training_steps: ArrayLike = MAX_TRAINING_STEPS,
) -> optax.GradientTransformationExtraArgs:
    """Return VeLO (Metz et al. 2022, arXiv 2211.09760): learned, with no learning rate to tune.

    Its ``update`` needs the parameters and the training loss:

        tx = velo(num_steps=1000)
        state = tx.init(params)
        updates, state = tx.update(grads, state, params, value=loss)
        params = optax.apply_updates(params, updates)

    Gradients that are not finite are not handled: they stay in the accumulators for good, so skip
    such a step (`optax.apply_if_finite` does). A loss that is not finite is left out. VeLO
    computes in float32; updates have the dtype of the parameters.

    Args:
      num_steps: How many updates the run will make, at least 1. VeLO plans by it: it can make
        more, but was not trained to.
      weights: A name (``"velo-tiny"`` is built in, ``"velo"`` is the official checkpoint), a path,
        or `VeLOWeights`.
      weight_decay: L2 penalty: ``weight_decay * params`` is added to the gradients and
        ``weight_decay * sum(params**2)`` to the loss (without the half that would make the two
        agree: as published).
      max_training_steps: If ``num_steps`` is larger, gradients and losses are averaged over
        ``ceil(num_steps / max_training_steps)`` steps and the parameters change once in as many.

    All numbers may be traced, as `optax.inject_hyperparams` does it. If ``num_steps`` or
    ``max_training_steps`` is, nothing accumulates, because that would change the program: then
    ``num_steps`` must be the smaller one.

    Raises:
      SpecError: An argument is out of range; from ``update``, params or value are missing.
      UnknownNameError: No weights have that name.
      WeightsError: The weights cannot be read.

    Examples:
      >>> import optax
      >>> optimizer = optax.chain(optax.clip_by_global_norm(1.0), velodrome.velo(num_steps=100))
    """
    return velo_from_theta(
        load_weights(weights),
        num_steps,
        weight_decay=weight_decay,
        max_training_steps=max_training_steps,
    )


def velo_from_theta(
    theta: VeLOWeights,
    num_steps: ArrayLike,
    *,
    weight_decay: float | Array = 0.0,
    max_training_steps: ArrayLike = MAX_TRAINING_STEPS,
    mixture_scale: float = MIXTURE_SCALE,
) -> optax.GradientTransformationExtraArgs:
    """Return `velo` with weights that may be traced, vmapped or differentiated (meta-training).

    Call it outside of the training loop: the weights are multiplied out here, once.

    Arguments are those of `velo`, and ``mixture_scale``, which multiplies the mean over the bank to
    give a tensor's network. The published optimizer has 100; weights trained with another need it.

    Raises:
      SpecError: An argument is out of range.

    Examples:
      >>> weights = velodrome.load_weights("velo-tiny")
      >>> optimizer = velodrome.velo_from_theta(weights, num_steps=100)
    """
    decays = positive_weight_decay(weight_decay)
    accumulate = 1
    if not isinstance(max_training_steps, Tracer):
        max_training_steps = _positive("max_training_steps", max_training_steps)
    if not isinstance(num_steps, Tracer):
        num_steps = _positive("num_steps", num_steps)
        if not isinstance(max_training_steps, Tracer):
            accumulate = -(-num_steps // max_training_steps)
            num_steps = num_steps // accumulate
    transformation = scale_by_velo(fold(theta, mixture_scale=mixture_scale), num_steps)
    if accumulate > 1:
        transformation = average_gradients(transformation, every=accumulate)
    if decays:
        transformation = add_weight_decay(transformation, weight_decay)
    return checked(transformation)


class AverageState(NamedTuple):
    """State of `average_gradients`: sums since the last update of the inner transformation.

    ``value`` is the sum of the losses that are finite, and ``losses`` their number. Sums are
    float32 even of bfloat16 gradients: with its 8 bits, the hundredth gradient of a sum would be
    rounded away.
    """

    step: Int[Array, ""]
    gradients: PyTree
    value: Float[Array, ""]
    losses: Int[Array, ""]
    inner: PyTree


def average_gradients(
    inner: optax.GradientTransformationExtraArgs, *, every: int
) -> optax.GradientTransformationExtraArgs:
    """Update ``inner`` once in ``every`` steps, with the mean gradient and the mean loss.

    Updates are zero in between. A last group that is not complete has no effect. Losses that are
    not finite are left out of the mean.
    """

    def init(params: PyTree) -> AverageState:
        return AverageState(
            step=jnp.zeros((), jnp.int32),
            gradients=jax.tree.map(lambda p: jnp.zeros(jnp.shape(p), jnp.float32), params),
            value=jnp.zeros((), jnp.float32),
            losses=jnp.zeros((), jnp.int32),
            inner=inner.init(params),
        )

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value: ArrayLike | None = None,
        **extra: object,
    ) -> tuple[PyTree, AverageState]:
        if not isinstance(state, AverageState):
            raise SpecError("state", type(state).__name__, STATE)
        gradients = jax.tree.map(
            lambda total, g: total + jnp.asarray(g, jnp.float32), state.gradients, updates
        )
        value = jnp.asarray(value, jnp.float32)
        finite = jnp.isfinite(value)
        total = state.value + jnp.where(finite, value, 0.0)
        losses = state.losses + finite.astype(jnp.int32)
        step = (state.step + 1) % every

        def apply() -> tuple[PyTree, AverageState]:
            mean = jax.tree.map(lambda g: g / every, gradients)
            # Without any finite loss this is NaN, and so left out too.
            value = total / losses.astype(jnp.float32)
            changes, new = inner.update(mean, state.inner, params, value=value, **extra)
            zeros = jax.tree.map(jnp.zeros_like, gradients)
            return changes, AverageState(
                step, zeros, jnp.zeros_like(total), jnp.zeros_like(losses), new
            )

        def wait() -> tuple[PyTree, AverageState]:
            unchanged = jax.tree.map(jnp.zeros_like, params)
            return unchanged, AverageState(step, gradients, total, losses, state.inner)

        return jax.lax.cond(step == 0, apply, wait)

    return optax.GradientTransformationExtraArgs(init, update)


def add_weight_decay(
    inner: optax.GradientTransformationExtraArgs, weight_decay: float | Array
) -> optax.GradientTransformationExtraArgs:
    """Add an L2 penalty to the gradients and to the loss that ``inner`` sees; see `velo`."""

    def update(
        updates: PyTree,
        state: PyTree,
        params: PyTree = None,
        *,
        value: ArrayLike | None = None,
        **extra: object,
    ) -> tuple[PyTree, PyTree]:
        penalty = sum(
            jnp.sum(leaf.astype(jnp.float32) ** 2) * weight_decay
            for leaf in jax.tree.leaves(params)
        )
        decayed = jax.tree.map(
            lambda g, p: jnp.asarray(g, jnp.float32) + weight_decay * jnp.asarray(p, jnp.float32),
            updates,
            params,
        )
        value = jnp.asarray(value, jnp.float32) + penalty
        return inner.update(decayed, state, params, value=value, **extra)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def positive_weight_decay(weight_decay: float | Array) -> bool:
    """Return whether there is decay, as far as can be known.

    Raises:
      SpecError: It is negative, or not finite.
    """
    if isinstance(weight_decay, Tracer):
        return True
    if not 0.0 <= weight_decay < math.inf:
        raise SpecError("weight_decay", weight_decay, "a finite number, 0 or more")
    return bool(weight_decay != 0.0)


def _positive(name: str, number: object) -> int:
    if isinstance(number, SupportsIndex):
        try:
            if (index := operator.index(number)) >= 1:
                return index
        except TypeError:
            pass  # an array that is no integer
    raise SpecError(name, number, "an integer, 1 or more")
