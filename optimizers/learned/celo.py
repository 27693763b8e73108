"""Celo (Moudgil et al. 2025, arXiv 2501.12670): VeLO's per-parameter network with a scheduler.

One small network for all tensors gives a direction for each parameter; the scheduler gives one step
size for all tensors. Semantics: ``celo/optimizers/celo.py`` of amoudgl/celo, commit 66d9761.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from velodrome.optimizers.learned.scheduler import initial_schedule, schedule, scheduler
from velodrome.optimizers.learned.weights.trees import CeloWeights
from velodrome.optimizers.velo.controller import LSTMState, as_constants, flat_networks, widened
from velodrome.optimizers.velo.door import checked
from velodrome.optimizers.velo.optimizer import add_weight_decay, positive_weight_decay
from velodrome.optimizers.velo.pruning import live_numbers
from velodrome.optimizers.velo.reads import FLAT, Reads
from velodrome.optimizers.velo.tensor_statistics import Observation
from velodrome.optimizers.velo.transform import Writer, scale_by_networks


def celo(
    num_steps: ArrayLike,
    *,
    weights: CeloWeights,
    weight_decay: float | Array = 0.0,
    phase: Literal[1, 2] = 2,
) -> optax.GradientTransformationExtraArgs:
    """Return Celo; its ``update`` needs the parameters and the training loss, as `velo`'s does.

    Args:
      num_steps: How many updates the run will make; may be traced.
      weights: From a file of Celo; may be traced.
      weight_decay: L2 penalty on gradients and loss, as `velo` has it; published with 0.
      phase: 2 as published. In phase 1 of meta-training the step size is 1 whatever the scheduler
        says.

    Raises:
      SpecError: An argument is out of range.
    """
    transformation = scale_by_networks(writer_of(weights, phase), num_steps)
    if positive_weight_decay(weight_decay):
        transformation = add_weight_decay(transformation, weight_decay)
    return checked(transformation, "Celo")


def writer_of(weights: CeloWeights, phase: int = 2) -> Writer:
    """Return what writes one network for all tensors; arguments are those of `celo`."""
    controller = scheduler(weights.scheduler, (weights.controls_w, weights.controls_b))
    bank, reads = _bank(weights)

    def write(seen: Observation, lstm: LSTMState) -> tuple[Float[Array, "tensor flat"], LSTMState]:
        step, controls, lstm = schedule(controller, seen.fraction_trained, seen.loss, lstm)
        step = step if phase > 1 else jnp.ones_like(step)
        # The mean over the bank: its size divides although the controls add up to 1.
        network = jnp.mean(bank * jax.nn.softmax(controls)[:, None], axis=0)
        flat = jnp.concatenate([network, step[None]])
        return jnp.broadcast_to(flat[None], (len(seen.ranks), flat.shape[0])), lstm

    return Writer(reads, lambda tensors: initial_schedule(controller), write, reads_variances=False)


def _bank(weights: CeloWeights) -> tuple[Float[Array, "bank flat"], Reads]:
    """Return the networks without what cannot change a step, and what is left to read."""
    flat = flat_networks(widened(weights))
    if isinstance(flat, Tracer):
        return flat, Reads(network=tuple(range(FLAT)), inputs=())
    alive = np.flatnonzero(live_numbers(np.append((flat != 0).any(axis=0), True))).tolist()
    return as_constants(flat[:, alive[:-1]]), Reads(network=tuple(alive), inputs=())
