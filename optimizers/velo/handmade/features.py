"""A hand-made start with features: an LSTM whose units have a meaning, for evolution to use.

The units that `structured_weights` leaves random hold what is known to matter for a step: how long
the run is, how much of it is done, how consistent the gradients are, how large they are against the
weights, what kind of tensor it is, whether the loss still falls. The bank is split: one network
carries a sum of channels through to the output, others name one channel each, and one is the
logarithm of the step. So each of the controls, which are linear in the units, means something:
how much of a channel a tensor's direction has, and by how much its steps are longer.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.velo.handmade.numbers import (
    CHANNELS,
    LARGEST_SECOND,
    LARGEST_VARIANCE,
    LATER,
    LEAST_BANK,
    LEAST_HIDDEN,
    SECOND,
    UNITS,
    VARIANCE,
    Numbers,
    Unit,
)
from velodrome.optimizers.velo.weights.tree import LSTM_INPUTS, VeLOWeights, init_weights

_GATES = ("write", "candidate", "forget", "read")

# Networks of the bank, by position.
_CARRIER, _FIRST_CHANNEL, _FREE, _LOG_STEP = 0, 1, (13, 14), 15

# A control is multiplied by this over the number of networks when the bank is mixed.
_MIXTURE = 100.0
# The second output times 0.001 is the logarithm of the step.
_MAGNITUDE = 1000.0

# A change of a control of these is a smaller one of the direction: long momenta and the weights
# themselves (which shrink, or grow, by it) soon make a run unstable.
_GENTLE = {
    "parameter": 0.2,
    "adam_0.99": 0.5,
    "momentum_0.99": 0.5,
    "adam_0.999": 0.25,
    "momentum_0.999": 0.25,
}

# The clock's unit holds 0 halfway through the run, and this at its ends, with either sign; the
# small vector's unit holds this with either sign.
_CLOCK, _SMALL = 0.37, 0.48


def featured_weights(
    key: Array, *, hidden: int, bank: int, numbers: Numbers | None = None
) -> VeLOWeights:
    """Return weights of a normalised-momentum optimizer whose LSTM holds features.

    Args:
      key: A PRNG key, for what is left random: units after `UNITS`, and two networks.
      hidden: Size of the LSTM, at least 32.
      bank: Number of per-parameter networks, at least 16.
      numbers: What the weights are made with. None: those chosen by hand.

    Raises:
      VelodromeError: One of them is too small.
    """
    if hidden < LEAST_HIDDEN or bank < LEAST_BANK:
        raise VelodromeError(
            f"architecture.init 'features' needs a hidden size of at least {LEAST_HIDDEN} and a "
            f"bank of at least {LEAST_BANK}, not {hidden} and {bank}: change the config, or start "
            "from 'structured'."
        )
    random = init_weights(key, hidden, bank)
    arrays = {name: np.array(leaf) for name, leaf in random._asdict().items()}
    _write_inputs(arrays)
    numbers = numbers or Numbers()
    named = numbers.log_step.keys() | numbers.mixture.keys()
    for position, unit in enumerate(UNITS):
        if unit.name in named or unit.name not in LATER:
            _write_unit(arrays, position, unit, hidden)
    _write_bank(arrays, bank)
    _write_outputs(arrays, numbers)
    return VeLOWeights.of({name: jnp.asarray(array) for name, array in arrays.items()})


def _write_inputs(arrays: dict[str, np.ndarray]) -> None:
    """Give each input its own place among what the LSTM reads."""
    for name in ("project_w", "project_b", "pool_w", "pool_b"):
        arrays[name][:] = 0.0
    places = np.arange(LSTM_INPUTS)
    arrays["project_w"][places, places] = 1.0
    # Magnitudes are -2.5 and more.
    for place, source in ((LARGEST_SECOND, SECOND), (LARGEST_VARIANCE, VARIANCE)):
        arrays["pool_w"][source, place] = 1.0
        arrays["pool_b"][place] = 2.5


def _write_unit(arrays: dict[str, np.ndarray], position: int, unit: Unit, hidden: int) -> None:
    weights, biases = arrays["lstm_w"], arrays["lstm_b"]
    weights[hidden + position] = 0.0  # no other unit reads it
    columns = {gate: position + hidden * number for number, gate in enumerate(_GATES)}
    for column in columns.values():
        weights[:, column] = 0.0
    for gate, inputs in (("candidate", unit.candidate), ("write", unit.write)):
        for source, weight in inputs.items():
            weights[source, columns[gate]] = weight
    values = (*unit.biases, unit.forget, unit.read)
    for gate, bias in zip(("candidate", "write", "forget", "read"), values, strict=True):
        biases[columns[gate]] = bias
    arrays["initial_cell"][position] = unit.cell


def _write_bank(arrays: dict[str, np.ndarray], bank: int) -> None:
    free = {name: arrays[name][list(_FREE)] for name in ("bank_w0", "bank_w1")}
    for name in ("bank_w0", "bank_b0", "bank_w1", "bank_b1", "bank_w2", "bank_b2"):
        arrays[name][:] = 0.0
    # With it, controls are weights of sums: all networks' together are one network.
    one = bank / _MIXTURE
    for unit, sign in ((0, 1.0), (1, -1.0)):  # the ReLU of x and of -x
        arrays["bank_w1"][_CARRIER, unit, unit] = one
        arrays["bank_w2"][_CARRIER, unit, 0] = sign * one
        for network, (name, channel) in enumerate(CHANNELS.items(), start=_FIRST_CHANNEL):
            arrays["bank_w0"][network, channel, unit] = sign * one * _GENTLE.get(name, 1.0)
    # The other two hidden units read a random mixture, and nothing reads them yet.
    for name, leaf in free.items():
        leaf[..., :2] = 0.0
        arrays[name][list(_FREE)] = one * leaf
    arrays["bank_b2"][_LOG_STEP, 1] = one * _MAGNITUDE


def _write_outputs(arrays: dict[str, np.ndarray], numbers: Numbers) -> None:
    for name in ("controls_w", "controls_b", "step_size_w", "step_size_b"):
        arrays[name][:] = 0.0
    constant, by_unit = arrays["controls_b"], arrays["controls_w"]
    constant[[_CARRIER, *_FREE]] = 1.0
    network = {name: place for place, name in enumerate(CHANNELS, start=_FIRST_CHANNEL)}
    position = {unit.name: place for place, unit in enumerate(UNITS)}
    for name, weight in numbers.direction.items():
        constant[network[name]] = weight / _GENTLE.get(name, 1.0)
    for unit, weights in numbers.mixture.items():
        for name, weight in weights.items():
            by_unit[position[unit], network[name]] += weight / _GENTLE.get(name, 1.0)
    half = math.log(numbers.small) / 2.0
    constant[_LOG_STEP] = half
    by_unit[position["small vector"], _LOG_STEP] = half / _SMALL
    for name, change in numbers.log_step.items():
        by_unit[position[name], _LOG_STEP] += change
    # A step is 0.001 times this output: it falls from twice its middle to nothing.
    arrays["step_size_b"][0] = 1000.0 * numbers.step
    arrays["step_size_w"][position["clock"], 0] = -1000.0 * numbers.step / _CLOCK
