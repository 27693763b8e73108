"""Celo's scheduler: an LSTM that reads the loss and the time left, and writes one step size.

It is VeLO's LSTM with the 18 inputs that all tensors share (Moudgil et al. 2025, arXiv 2501.12670;
commit 66d9761 of amoudgl/celo), so one row stands for all tensors.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from velodrome.optimizers.learned.weights.trees import SchedulerWeights
from velodrome.optimizers.velo.controller import (
    Controller,
    LSTMState,
    control,
    folded,
    initial_state,
    module_of,
    widened,
)
from velodrome.optimizers.velo.tensor_statistics import shared_inputs

# The step size is the exponential of the last output, times this.
_SCALE = 0.1


def scheduler(weights: SchedulerWeights, *more: tuple[ArrayLike, ArrayLike]) -> Controller:
    """Return the controller of a scheduler.

    Args:
      more: Weights and biases of outputs that come before the step size.
    """
    wide, rest = widened((weights, more))
    xp = module_of(wide.lstm_w)
    return folded(
        wide,
        head_w=xp.concatenate([*(w for w, _ in rest), wide.step_size_w], axis=1),
        head_b=xp.concatenate([*(b for _, b in rest), wide.step_size_b]),
    )


def initial_schedule(controller: Controller) -> LSTMState:
    return initial_state(controller, 1)


def schedule(
    controller: Controller,
    fraction_trained: Float[Array, ""],
    loss: Float[Array, " 9"],
    state: LSTMState,
) -> tuple[Float[Array, ""], Float[Array, " more"], LSTMState]:
    """Advance the scheduler by one update.

    Args:
      fraction_trained: Updates made over all updates of the run.
      loss: The features of the loss, this update's included.

    Returns:
      The step size, which is positive; the other outputs; and the next state.
    """
    outputs, state = control(controller, [shared_inputs(fraction_trained, loss)[None]], state)
    return _SCALE * jnp.exp(outputs[0, -1]), outputs[0, :-1], state
