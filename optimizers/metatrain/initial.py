"""Where meta-training starts: random weights, or a hand-made optimizer that already trains.

Evolution needs thousands of outer steps to find from random weights what has been known for
long: follow the normalised momentum, step in proportion to the parameters, and step less and less.
`structured_weights` writes just that into the weights and leaves everything else free.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.metatrain.config.inner import ArchitectureConfig
from velodrome.optimizers.velo.handmade.features import featured_weights
from velodrome.optimizers.velo.weights.store import load_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights, init_weights

# Positions among the inputs of the LSTM ...
_FRACTIONS = (2, 3, 4, 5, 6)  # switch when 0.2, 0.4, 0.6, 0.8 and 0.9 of the run are done
_SECOND_MOMENT = 18
_IS_VECTOR = 20
# ... and among the channels of a per-parameter network: momentum 0.9, as it is, over the root of
# the second moment, and over the factored root.
_MOMENTUM, _ADAM_LIKE, _FACTORED = 3, 7, 27

# The bank is mixed with 100 times the mean of (network * control): with controls of 0.1, networks
# a tenth of the wanted weights are right, and noise in either is of about the same consequence.
_CONTROL = 0.1
_MIXTURE = 100.0 * _CONTROL
_NOISE = 0.03

# Size of a step relative to the parameters' root mean square, halfway through the run: it falls
# from about twice this to about nothing.
_STEP = 0.0075
# How many times larger, at most, the relative step of vectors is whose gradients are large against
# them: biases, which start at zero.
_SMALL = 5.0
# The weights of these channels in the direction.
_DIRECTION = {_ADAM_LIKE: 0.6, _FACTORED: 0.0, _MOMENTUM: 0.4}


def initial_weights(key: Array, config: ArchitectureConfig) -> VeLOWeights:
    """Return the weights that ``config.init`` names.

    Raises:
      VelodromeError: They are of another size than the config says, or cannot be loaded.
    """
    if config.init == "structured":
        return structured_weights(key, hidden=config.hidden, bank=config.bank)
    if config.init == "features":
        return featured_weights(key, hidden=config.hidden, bank=config.bank)
    if config.init == "random":
        return init_weights(key, config.hidden, config.bank)
    weights = load_weights(config.init)
    found = weights.hidden_size, weights.bank_size
    if found != (config.hidden, config.bank):
        raise VelodromeError(
            f"the weights {config.init!r} have hidden size {found[0]} and a bank of {found[1]}, "
            f"but architecture.hidden is {config.hidden} and architecture.bank {config.bank}: "
            "change the config, or start from other weights."
        )
    return weights


@partial(jax.jit, static_argnames=("hidden", "bank"))
def structured_weights(key: Array, *, hidden: int, bank: int) -> VeLOWeights:
    """Return weights that make VeLO a normalised-momentum optimizer with a falling step.

    Unit 0 of the LSTM recognises tensors that are small against their gradients, unit 1 is a clock;
    both are read by the step size alone. The other units are random and unread: evolution may find
    a use for them. ``hidden`` is at least 2.
    """
    bank_key, random_key = jax.random.split(key)
    random = init_weights(random_key, hidden, bank)
    # What an LSTM unit without gates' inputs holds in the end for a constant candidate g:
    # h = 0.5 tanh(0.5 g / (1 - sigmoid(1))), which is near +-0.48 for g = +-1.
    large, clock = 0.48, 0.37
    project = random.project_w.at[:, :2].set(0.0)
    project = project.at[_SECOND_MOMENT, 0].set(2.0).at[_IS_VECTOR, 0].set(6.0)
    bias = random.project_b.at[:2].set(0.0).at[0].set(-6.0)
    for fraction in _FRACTIONS:
        project = project.at[fraction, 1].set(0.5 / len(_FRACTIONS))
    lstm = random.lstm_w.at[:, jnp.asarray([0, 1])].set(0.0)
    for gate in range(4):
        lstm = lstm.at[:, gate * hidden : gate * hidden + 2].set(0.0)
    lstm = lstm.at[0, hidden].set(1.0).at[1, hidden + 1].set(1.0)
    # They begin where they settle for "not small" and "start of the run".
    cell = random.initial_cell.at[0].set(-1.86).at[1].set(-0.8)
    # The step is 0.001 times this; half of the range of unit 0 lies on either side.
    middle = 1000.0 * _STEP
    step_w = jnp.zeros_like(random.step_size_w)
    step_w = step_w.at[0, 0].set(middle * (_SMALL - 1.0) / 2.0 / large)
    step_w = step_w.at[1, 0].set(-middle / clock)
    step_b = jnp.full_like(random.step_size_b, middle * (_SMALL + 1.0) / 2.0)
    return random._replace(
        initial_cell=cell,
        project_w=project,
        project_b=bias,
        pool_w=random.pool_w.at[:, :2].set(0.0),
        lstm_w=lstm,
        controls_w=jnp.zeros_like(random.controls_w),
        controls_b=jnp.full_like(random.controls_b, _CONTROL),
        step_size_w=step_w,
        step_size_b=step_b,
        **_bank(bank_key, random),
    )


def _bank(key: Array, like: VeLOWeights) -> dict[str, Array]:
    """Return networks whose first two units carry a weighted sum, +x and -x, to the output."""
    names = ("bank_w0", "bank_w1", "bank_w2")
    noise = {
        name: _NOISE * jax.random.normal(part, getattr(like, name).shape, jnp.float32)
        for name, part in zip(names, jax.random.split(key, len(names)), strict=True)
    }
    one = 1.0 / _MIXTURE
    w0 = noise["bank_w0"].at[:, :, :2].set(0.0)
    for channel, weight in _DIRECTION.items():
        w0 = w0.at[:, channel, 0].set(weight * one).at[:, channel, 1].set(-weight * one)
    w1 = noise["bank_w1"].at[:, :, :2].set(0.0).at[:, 0, 0].set(one).at[:, 1, 1].set(one)
    w2 = jnp.zeros_like(noise["bank_w2"]).at[:, 0, 0].set(one).at[:, 1, 0].set(-one)
    zeros = {f"bank_b{i}": jnp.zeros_like(getattr(like, f"bank_b{i}")) for i in range(3)}
    return {"bank_w0": w0, "bank_w1": w1, "bank_w2": w2, **zeros}
