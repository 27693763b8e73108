"""The baseline's envelope over learning rates, and when it reaches a loss."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Steps = Int[np.ndarray, " _steps"] | Float[np.ndarray, " _steps"]
Resampling = tuple[Steps, Steps]
EnvelopeKind = Literal["oracle", "single"]
"""``oracle``: the best rate at every step, which no single run attains. ``single``: the one rate
whose seed-mean loss is lowest at the end."""


def best_point(curves: Float[np.ndarray, "point eval"]) -> int:
    """Return the index of the curve with the lowest last value; of equals the first.

    A rate with any diverged seed ends at +inf, so it is chosen only if every rate diverged.
    """
    return int(np.argmin(curves[:, -1]))


def envelope(
    curves: Float[np.ndarray, "point eval"],
    *,
    kind: EnvelopeKind = "oracle",
    onto: Resampling | None = None,
) -> Float[np.ndarray, " step"]:
    """Return the running minimum of smoothed seed-mean losses over rates, or of the best rate.

    A rate that has diverged is +inf from there on. With ``onto``, see :func:`falling`.
    """
    return falling(curves.min(axis=0) if kind == "oracle" else curves[best_point(curves)], onto)


def falling(
    values: Float[np.ndarray, "*lanes eval"], onto: Resampling | None = None
) -> Float[np.ndarray, "*lanes step"]:
    """Return the running minimum along the last axis.

    With ``onto``, the steps of the values and other steps between them, it runs over the values
    at the other steps, interpolated linearly (+inf beside an infinite one).
    """
    if onto is not None:
        steps, at = onto
        after = np.searchsorted(steps, at)
        before = np.maximum(after - 1, 0)
        share = (steps[after] - at) / np.maximum(steps[after] - steps[before], 1)
        # Infinities are left out where they have no share, because 0 * inf would be NaN.
        earlier = np.where(share > 0, values[..., before], 0.0)
        values = share * earlier + (1 - share) * values[..., after]
    return np.minimum.accumulate(values, axis=-1)


def steps_to_loss(
    steps: Int[np.ndarray, " eval"] | Float[np.ndarray, " eval"],
    reached: Float[np.ndarray, " eval"],
    targets: Float[np.ndarray, "*targets"],
) -> Float[np.ndarray, "*targets"]:
    """Return the first step at which a non-increasing curve is at most the target.

    It is found on the grid of evaluations, then linearly inside the interval before it. On a
    plateau that equals the target this is the plateau's first step, as with ``jnp.interp`` on the
    reversed curve; a target just below the plateau is reached only after it.

    +inf where the target is never reached. The envelope ``reached`` may begin with +inf. Targets
    of NaN and +inf count as reached at once, so mark diverged candidates before.

    Example:
      >>> import numpy as np
      >>> curve = np.array([3.0, 2.0, 2.0, 2.0, 1.0])
      >>> steps_to_loss(np.arange(5), curve, np.array([2.0, 1.5, 0.5]))
      array([1. , 3.5, inf])
    """
    flat = targets.reshape(-1)
    # Negated, the curve ascends: the first index with reached <= target.
    index = np.searchsorted(-reached, -flat, side="left")
    result = np.full(flat.shape, np.inf)
    for k, (i, target) in enumerate(zip(index, flat, strict=True)):
        if i == len(reached):
            continue
        result[k] = steps[i]
        if i > 0 and np.isfinite(reached[i - 1]):
            fall = reached[i - 1] - reached[i]
            result[k] -= (steps[i] - steps[i - 1]) * (target - reached[i]) / fall
    return result.reshape(targets.shape)
