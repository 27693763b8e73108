"""celo-adam (Moudgil et al. 2025, arXiv 2501.12670): Adam whose rate Celo's scheduler writes.

Semantics: ``celo/optimizers/celo_adam.py`` of amoudgl/celo, commit 66d9761.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Int, PyTree

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.float32 import as_float32
from velodrome.optimizers.learned.scheduler import initial_schedule, schedule, scheduler
from velodrome.optimizers.learned.weights.trees import SchedulerWeights
from velodrome.optimizers.velo.controller import LSTMState
from velodrome.optimizers.velo.door import STATE, checked
from velodrome.optimizers.velo.loss_averages import (
    LossAverages,
    init_averages,
    loss_features,
    update_averages,
)
from velodrome.optimizers.velo.optimizer import add_weight_decay, positive_weight_decay
from velodrome.optimizers.velo.tensor_statistics import clip

# Times the step size that the scheduler writes.
_RATE = 0.001


class CeloAdamState(NamedTuple):
    """State of celo-adam; the scheduler has one row."""

    iteration: Int[Array, ""]
    loss: LossAverages
    lstm: LSTMState
    adam: optax.OptState


def celo_adam(
    num_steps: ArrayLike, *, weights: SchedulerWeights, weight_decay: float | Array = 0.0
) -> optax.GradientTransformationExtraArgs:
    """Return celo-adam; arguments are those of `celo`.

    Raises:
      SpecError: An argument is out of range.
    """
    controller = scheduler(weights)
    # The epsilon inside the root is added after the bias correction: it counts for 1e-5.
    adam = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=1e-10)

    def init(params: PyTree) -> CeloAdamState:
        return CeloAdamState(
            iteration=jnp.zeros((), jnp.int32),
            loss=init_averages(num_steps),
            lstm=initial_schedule(controller),
            adam=adam.init(as_float32(params)),
        )

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value: ArrayLike | None = None,
        **unused: object,
    ) -> tuple[PyTree, CeloAdamState]:
        del unused
        if not isinstance(state, CeloAdamState):
            raise SpecError("state", type(state).__name__, STATE)
        loss = update_averages(state.loss, jnp.asarray(value, jnp.float32))
        fraction = state.iteration.astype(jnp.float32) / jnp.asarray(num_steps, jnp.float32)
        size, _, lstm = schedule(controller, fraction, loss_features(loss), state.lstm)
        clipped = jax.tree.map(clip, as_float32(updates))
        directions, moments = adam.update(clipped, state.adam)
        changes = jax.tree.map(
            lambda direction, p: (-_RATE * size * direction).astype(p.dtype), directions, params
        )
        return changes, CeloAdamState(state.iteration + 1, loss, lstm, moments)

    transformation = optax.GradientTransformationExtraArgs(init, update)
    if positive_weight_decay(weight_decay):
        transformation = add_weight_decay(transformation, weight_decay)
    return checked(transformation, "celo-adam")
