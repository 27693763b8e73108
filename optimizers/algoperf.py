"""AlgoPerf's NAdamW with its five published points, as an optimizer of a comparison.

The update and the points are those of mlcommons/algorithmic-efficiency
(``algorithms/baselines/external_tuning``, ``jax_nadamw_full_budget.py`` and
``tuning_search_space.json``, Apache-2.0). It is not optax's Adam with ``nesterov=True``, whose
corrections of the bias are other ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.spec import OptimizerSpec

EPSILON = 1e-8


class AlgoPerfPoint(NamedTuple):
    """What a published point says of the optimizer; dropout and smoothing belong to the task."""

    learning_rate: float
    one_minus_beta1: float
    beta2: float
    weight_decay: float
    warmup_factor: float


_FIRST = AlgoPerfPoint(
    0.001308209823469072, 0.02686663061, 0.9981232922116359, 0.16375311233774334, 0.1
)
#: In the published order. The first has dropout 0 and label smoothing 0.1; the second 0 and 0.2;
#: the third is the first without smoothing; the fourth has neither; the fifth dropout 0.1.
POINTS = (
    _FIRST,
    AlgoPerfPoint(
        0.0008445074561975979, 0.11042418465, 0.9978504782314613, 0.08135402759553023, 0.05
    ),
    _FIRST,
    AlgoPerfPoint(
        0.004958460849689891, 0.13625575743, 0.6291854735396584, 0.1147386261512052, 0.02
    ),
    AlgoPerfPoint(
        0.0017486387539278373, 0.06733926164, 0.9955159689799007, 0.08121616522670176, 0.02
    ),
)


class AlgoPerfState(NamedTuple):
    """Updates made, and moving averages of gradients and of their squares."""

    made: Int[Array, ""]
    first: PyTree
    second: PyTree


def nadamw_point(
    trial: int | float | Int[Array, ""], num_steps: int
) -> optax.GradientTransformation:
    """Return NAdamW with one of the published points, for a run of ``num_steps`` updates.

    The first moment looks one gradient ahead, and each moment is divided by its own correction of
    the bias. Weight decay is decoupled, times the rate, and of all parameters. The rate rises from
    0 for ``int(warmup_factor * num_steps)`` updates and falls to 0 along a cosine: the first update
    is 0 unless the run is so short that it has no warm-up.

    Args:
      trial: The number of the point, from 1 to 5; it may be a tracer. A traced one that is no
        point makes all updates NaN.

    Raises:
      SpecError: A number that is no tracer is no point.
    """
    known = isinstance(trial, int) and 1 <= trial <= len(POINTS)
    if not isinstance(trial, jax.Array) and not known:
        raise SpecError("trial", trial, f"a whole number from 1 to {len(POINTS)}")
    # One program serves all points. Warm-ups are counted here, in Python's numbers.
    warm_ups = [int(point.warmup_factor * num_steps) for point in POINTS]
    table = np.array([(*point, warm) for point, warm in zip(POINTS, warm_ups, strict=True)])
    logs = np.array([(math.log1p(-p.one_minus_beta1), math.log(p.beta2)) for p in POINTS])
    place = jnp.asarray(trial) - 1
    row = jnp.asarray(np.hstack([table, logs]), jnp.float32)[place]
    row = jnp.where((place >= 0) & (place < len(POINTS)), row, jnp.nan)
    peak, new1, b2, decay, _, warm, log1, log2 = row

    def init(params: PyTree) -> AlgoPerfState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AlgoPerfState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        assert isinstance(state, AlgoPerfState)  # what init returned
        if params is None:
            raise ValueError("AlgoPerf's NAdamW needs the parameters: it has weight decay")
        first = jax.tree.map(lambda g, m: m + new1 * (g - m), updates, state.first)
        second = jax.tree.map(lambda g, v: v * b2 + (1 - b2) * g**2, updates, state.second)
        t = jnp.asarray(state.made, jnp.float32) + 1
        correct1, correct2 = -jnp.expm1(t * log1), -jnp.expm1(t * log2)
        rate = _rate(peak, warm, state.made, num_steps)

        def step(g: Array, m: Array, v: Array, w: Array) -> Array:
            ahead = (m + new1 * (g - m)) / correct1
            return -rate * (ahead / (jnp.sqrt(v / correct2) + EPSILON) + decay * w)

        made = jax.tree.map(step, updates, first, second, params)
        return made, AlgoPerfState(state.made + 1, first, second)

    return in_float32(optax.GradientTransformation(init, update))


def _rate(
    peak: Float[Array, ""], warm: Float[Array, ""], made: Int[Array, ""], num_steps: int
) -> Float[Array, ""]:
    """Return the rate of the update after ``made`` others."""
    step = jnp.minimum(jnp.asarray(made, jnp.float32), num_steps)
    rising = step / jnp.maximum(warm, 1.0)
    done = (step - warm) / jnp.maximum(num_steps - warm, 1.0)
    return peak * jnp.where(step < warm, rising, 0.5 + 0.5 * jnp.cos(jnp.pi * done))


algoperf_nadamw = OptimizerSpec(
    name="algoperf-nadamw",
    label="NAdamW (AlgoPerf)",
    factory=nadamw_point,
    # The third is left out: without its smoothing it is the first, so it would be run twice.
    grid={"trial": (1, 2, 4, 5)},
    traced=frozenset({"trial"}),
    needs=frozenset({"num_steps"}),
)
