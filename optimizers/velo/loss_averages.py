"""What VeLO knows of the training loss: ten running averages, and their distance from their minima.

Metz et al. 2022 (arXiv 2211.09760); the numbers are those of google/learned_optimization,
class ``HyperV2`` with ``use_bugged_loss_features=False``, as the released optimizer has it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_AVERAGES = 10

# No loss has been seen: a minimum that the first one will undercut.
_UNSEEN = 999999999999.0


class LossAverages(NamedTuple):
    """Exponential averages of the loss, over 10 to ``num_steps`` updates.

    The rows are decays, means and minima; ``seen`` counts the losses in them: those that are finite
    numbers. They are one array because each array of a state costs a microsecond at each update.
    """

    rows: Float[Array, "3 10"]
    seen: Int[Array, ""]

    @property
    def decays(self) -> Float[Array, " 10"]:
        return self.rows[0]

    @property
    def means(self) -> Float[Array, " 10"]:
        return self.rows[1]

    @property
    def minima(self) -> Float[Array, " 10"]:
        return self.rows[2]


def init_averages(num_steps: jax.typing.ArrayLike) -> LossAverages:
    """Return averages that have seen no loss, for a run of ``num_steps`` updates."""
    # log10 and logspace in float32 like the original: its decays are these, rounding included.
    longest = jnp.log10(jnp.asarray(num_steps, jnp.float32))
    halflives = jnp.logspace(1.0, longest, _AVERAGES, dtype=jnp.float32)
    decays = jnp.exp(-1.0 / halflives)
    rows = [decays, jnp.zeros_like(decays), jnp.full_like(decays, _UNSEEN)]
    return LossAverages(jnp.stack(rows), seen=jnp.zeros((), jnp.int32))


def update_averages(averages: LossAverages, loss: Float[Array, ""]) -> LossAverages:
    """Return the averages after one more loss; one that is not a finite number changes nothing.

    A loss above twice the largest average is cut down to that, so that one spike does not fill
    the averages; the first loss is taken as it is.
    """
    finite = jnp.isfinite(loss)
    seen = averages.seen + finite.astype(jnp.int32)
    correction = _debias(averages.decays, seen)
    largest = jnp.max(averages.means / correction)
    largest = jnp.where(averages.seen == 0, loss, largest)
    taken = jnp.minimum(jnp.abs(largest) * 2, loss)
    means = averages.means * averages.decays + taken * (1.0 - averages.decays)
    minima = jnp.minimum(averages.minima, means / correction)
    rows = jnp.stack([averages.decays, means, minima])
    return LossAverages(jnp.where(finite, rows, averages.rows), seen)


def loss_features(averages: LossAverages) -> Float[Array, " 9"]:
    """Return how far each average is from its minimum, against the next slower one, in [-1, 1].

    ``averages`` are those after this update's loss; up to the second loss the features are zero.
    """
    corrected = averages.means / _debias(averages.decays, averages.seen)
    minima = averages.minima[:-1]
    scale = jnp.maximum(1e-8, corrected[1:] - minima)
    features = jnp.clip((corrected[:-1] - minima) / scale - 1.0, -1.0, 1.0)
    return jnp.where(averages.seen <= 2, jnp.zeros_like(features), features)


def _debias(decays: Float[Array, " 10"], seen: Int[Array, ""]) -> Float[Array, " 10"]:
    return 1.0 - decays ** jnp.maximum(seen, 1).astype(jnp.float32)
