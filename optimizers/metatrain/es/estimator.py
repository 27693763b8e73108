"""Evolution strategies with antithetic pairs: a gradient from pairs of losses alone.

The estimate is the mean over pairs of ``s * eps / (2 sigma)`` with ``eps ~ N(0, I)`` and ``s`` the
shaped difference of the losses at ``theta + sigma eps`` and ``theta - sigma eps`` (Metz et al.
2022, arXiv 2211.09760, use the sign). Persistent ES (Vicol et al. 2021, arXiv 2112.13835) is the
same over a window of a longer unroll, with `accumulate`d perturbations, those of all windows so
far: unbiased where truncated ES, the window's own perturbation alone, sees no effect of earlier
windows. A weight with scale c is perturbed and moved c times as much: the search is over
``(theta - theta_0) / c``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

Tree = TypeVar("Tree")


class Estimate(NamedTuple):
    """A gradient estimate and what it was made from.

    Attributes:
      gradient: The estimate, a pytree like the weights.
      loss: Mean loss of the pairs that were used; NaN if there was none.
      difference: Mean absolute difference of the losses within those pairs.
      dropped: Pairs left out because one of their losses was not finite.
    """

    gradient: PyTree
    loss: Float[Array, ""]
    difference: Float[Array, ""]
    dropped: Int[Array, ""]


def accumulate(perturbations: Sequence[Tree]) -> Tree:
    """Return the sum of the perturbations of all windows since the inner problems started.

    Args:
      perturbations: From `unit_noise`, one for each window, the last one included.
    """
    return jax.tree.map(lambda *leaves: functools.reduce(jnp.add, leaves), *perturbations)


def perturb(theta: Tree, perturbations: Tree, scales: PyTree, *, sigma: ArrayLike) -> Tree:
    """Return the weights of all particles, with leading axes pair and sign (first plus).

    Args:
      perturbations: Standard normal, with a leading axis of pairs, from `unit_noise`.
      scales: A pytree like ``theta`` of scalars.
      sigma: Standard deviation of the perturbations where the scale is 1.
    """

    def both(leaf: Array, noise: Array, scale: ArrayLike) -> Array:
        step = sigma * scale * noise
        centre = jnp.broadcast_to(leaf, step.shape)
        return jnp.stack([centre + step, centre - step], axis=1)

    return jax.tree.map(both, theta, perturbations, scales)


def estimate(
    losses: Float[Array, "pairs 2"], perturbations: PyTree, *, sigma: ArrayLike, shaping: str
) -> Estimate:
    """Return the gradient estimate, in the coordinates where every scale is 1.

    Args:
      losses: Losses at plus and minus each perturbation.
      perturbations: From `unit_noise` or `accumulate`.
      sigma: Standard deviation of the perturbations.
      shaping: How a pair's losses count: ``"sign"`` of the difference, ``"raw"``
        difference, or ``"log"``: difference of the logarithms (of positive losses).
    """
    finite = jnp.all(jnp.isfinite(losses), axis=1)
    safe = jnp.where(finite[:, None], losses, jnp.ones_like(losses))
    difference = safe[:, 0] - safe[:, 1]
    shaped = {
        "sign": jnp.sign(difference),
        "raw": difference,
        "log": jnp.log(jnp.maximum(safe[:, 0], 1e-30)) - jnp.log(jnp.maximum(safe[:, 1], 1e-30)),
    }[shaping]
    used = jnp.sum(finite)
    # Dropped pairs have a difference of zero; the mean is over those that count.
    weights = jnp.where(finite, shaped, 0.0) / (2.0 * sigma * jnp.maximum(used, 1))
    gradient = jax.tree.map(
        lambda noise: jnp.tensordot(weights.astype(noise.dtype), noise, axes=1), perturbations
    )
    mean_loss = jnp.sum(jnp.where(finite, jnp.mean(safe, axis=1), 0.0)) / used
    mean_difference = jnp.sum(jnp.where(finite, jnp.abs(difference), 0.0)) / jnp.maximum(used, 1)
    return Estimate(gradient, mean_loss, mean_difference, losses.shape[0] - used)
