"""NAdamW as the list was made for it, with its schedule, as an optax transformation.

It has the quirks of google/learned_optimization (``optimizers/nadamw.py`` and
``learning_rate_schedules.py``), because the published trials were chosen with them:

- the L2 term is subtracted from the gradient, so it drives parameters away from 0;
- decoupled weight decay is scaled by the rate with the bias correction in it;
- with a warm-up, the rate rises until the cosine begins, however short the declared warm-up is;
  the first update then has the rate 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.nadamw_list.trials import NAdamWTrial


class NAdamWListState(NamedTuple):
    """Updates made, and moving averages of gradients and of their squares."""

    made: Int[Array, ""]
    first: PyTree
    second: PyTree


def nadamw_trial(
    trial: int | float | Int[Array, ""], num_steps: int, *, trials: Sequence[NAdamWTrial]
) -> optax.GradientTransformation:
    """Return NAdamW with the hyperparameters of one trial, for a run of ``num_steps`` updates.

    Args:
      trial: Its place in the list, from 0; it may be a tracer. A traced one beyond the end makes
        all updates NaN.

    Raises:
      SpecError: A trial that is no tracer is not in the list.
    """
    known = isinstance(trial, int) and 0 <= trial < len(trials)
    if not isinstance(trial, jax.Array) and not known:
        raise SpecError("trial", trial, f"a whole number from 0 to {len(trials) - 1}")
    hyper = _values(trials, jnp.asarray(trial))

    def init(params: PyTree) -> NAdamWListState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return NAdamWListState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        assert isinstance(state, NAdamWListState)  # what init returned
        if params is None:
            raise ValueError("NAdamW of the list needs the parameters: it has weight decay")
        t = jnp.asarray(state.made, jnp.float32) + 1
        b1, b2 = hyper["beta1"], hyper["beta2"]
        rate = learning_rate(hyper, state.made, num_steps) * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        grads = jax.tree.map(lambda g, w: g - hyper["l2_weight_decay"] * w, updates, params)
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, grads)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.second, grads)

        def step(g: Array, m: Array, v: Array, w: ArrayLike) -> Array:
            ahead = jnp.where(hyper["use_nesterov"] > 0, b1 * m + (1 - b1) * g, m)
            direction = ahead / (jnp.sqrt(v) + hyper["epsilon"])
            return (-rate * (direction + hyper["adamw_weight_decay"] * w)).astype(
                jnp.result_type(w)
            )

        updates = jax.tree.map(step, grads, first, second, params)
        return updates, NAdamWListState(state.made + 1, first, second)

    return optax.GradientTransformation(init, update)


def learning_rate(
    hyper: dict[str, Float[Array, ""]], count: Int[Array, ""], num_steps: int
) -> Float[Array, ""]:
    """Return the rate before update ``count``, counted from 0."""
    peak, begin = hyper["learning_rate"], hyper["constant_fraction"] * num_steps
    step = jnp.minimum(jnp.asarray(count, jnp.float32), num_steps)
    lowest = hyper["min_learning_rate_mult"] * peak
    done = (jnp.maximum(step, begin) - begin) / (num_steps - begin)
    falling = lowest + (peak - lowest) * (0.5 + 0.5 * jnp.cos(jnp.pi * done))
    # The quirk: a warm-up of any length takes the place of the constant rate.
    end = jnp.maximum(hyper["warmup_fraction"] * num_steps, begin)
    rising = (hyper["warmup_fraction"] > 0) & (step < end)
    return jnp.where(rising, peak * step / end, falling)


def _values(trials: Sequence[NAdamWTrial], trial: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
    """Look a trial up in a table, so that one program serves the whole list."""
    table = np.array([list(asdict(one).values()) for one in trials], np.float32)
    row = jnp.where((trial >= 0) & (trial < len(trials)), jnp.asarray(table)[trial], jnp.nan)
    return {field.name: row[place] for place, field in enumerate(fields(NAdamWTrial))}
