"""adafac-mlp: a small network for each parameter, on averages whose decays are learned too.

It is "small_fc_lopt" with factored accumulators of Metz et al. (2022, arXiv 2203.11860), as
Moudgil et al. (2025, arXiv 2501.12670) trained it. Semantics:
``celo/optimizers/adafac_mlp_lopt.py`` of amoudgl/celo, commit 66d9761.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from velodrome.optimizers.learned.accumulators import (
    Accumulators,
    Decays,
    accumulate,
    channels,
    init_accumulators,
    network,
    normalisers,
)
from velodrome.optimizers.learned.rule import Rule, by_tensor
from velodrome.optimizers.learned.weights.trees import AdafacMLPWeights
from velodrome.optimizers.velo.controller import as_constants
from velodrome.optimizers.velo.door import checked

#: Numbers of steps over which the features of time switch.
TIMES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)

# Initial decays; the learned numbers shift the logarithm of one minus them, divided by this.
_DECAYS = tuple(
    np.asarray(x, np.float32) for x in ((0.9, 0.99, 0.999), (0.999,), (0.9, 0.99, 0.999))
)
_PER_LOG = 10.0

_CHANNELS = (
    *("gradient", "parameter", "momentum", "second", "normalised_momentum", "inverse_root"),
    *("factored_gradient", "row", "column", "inverse_row", "inverse_column", "factored_momentum"),
)

# The step is scaled by the exponential of the second output, and by itself, each times this.
_OUTPUT_SCALE = 0.001


def adafac_mlp(*, weights: AdafacMLPWeights) -> optax.GradientTransformationExtraArgs:
    """Return adafac-mlp; its ``update`` needs the parameters alone."""
    theta = as_constants(weights)
    decays = _decays(theta)

    def step(
        state: Accumulators, gradient: Array, parameters: Array, iteration: Int[Array, ""]
    ) -> Float[Array, " ..."]:
        found = channels(state, gradient, parameters, epsilon=1e-6)
        # A scalar counts as a vector of one element.
        terms = [jnp.atleast_1d(term) for name in _CHANNELS for term in jnp.unstack(found[name])]
        scales = normalisers(terms, epsilon=1e-5, axes=terms[0].ndim)
        inputs = [term * scale for term, scale in zip(terms, scales, strict=True)]
        # What is the same for all elements is a part of the bias.
        count = len(inputs)
        time = jnp.tanh(iteration.astype(jnp.float32) / np.asarray(TIMES, np.float32) - 1.0)
        bias = theta.b0 + jnp.matmul(time, theta.w0[count:], precision=jax.lax.Precision.HIGHEST)
        layers = ((theta.w0[:count], bias), (theta.w1, theta.b1), (theta.w2, theta.b2))
        direction, magnitude = network(inputs, layers)
        change = -_OUTPUT_SCALE * direction * jnp.exp(_OUTPUT_SCALE * magnitude)
        return change.reshape(gradient.shape)

    rule = Rule(
        init=lambda shape: init_accumulators(shape, decays),
        accumulate=lambda state, gradient: accumulate(state, gradient, decays),
        step=step,
    )
    return checked(by_tensor(rule), "adafac-mlp", reads_loss=False)


def _decays(theta: AdafacMLPWeights) -> Decays:
    shifts = (theta.momentum_decays, theta.rms_decays, theta.adafactor_decays)
    momentum, second, factored = (
        1.0 - jnp.exp(_PER_LOG * (jnp.log(1.0 - initial) / _PER_LOG + shift))
        for initial, shift in zip(_DECAYS, shifts, strict=True)
    )
    return Decays(momentum, jnp.clip(second, 0.0, 1.0), jnp.clip(factored, 0.0, 1.0))
