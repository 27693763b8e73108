"""A hand-made start with features: an LSTM that says what its units hold, for evolution to use.

The units that `structured_weights` leaves random hold what is known to matter for a step: how long
the run is, what of it is done, how consistent the gradients are, how large they are against the
weights, what kind of tensor it is, whether the loss still falls. The bank is split: one network
carries a sum of channels through to the output, others name one channel each, and one is the
logarithm of the step. So each of the controls, which are linear in the units, means something:
how much of a channel a tensor's direction has, and by how much its steps are longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.velo.weights.tree import LSTM_INPUTS, VeLOWeights, init_weights

# Inputs of the LSTM: fractions of the run (9), loss (9), second moment, rank (5), variances of the
# momenta with decays 0.9, 0.99 and 0.999, and of the second moment about each.
_FRACTION, _LOSS, _SECOND, _RANK, _VARIANCE, _SPREAD = 0, 9, 18, 19, 24, 27
_SCALAR, _VECTOR, _MATRIX, _CONVOLUTION = _RANK, _RANK + 1, _RANK + 2, _RANK + 4
# Two more that the LSTM reads from all tensors: the largest second moment and variance among them.
_LARGEST_SECOND, _LARGEST_VARIANCE = LSTM_INPUTS, LSTM_INPUTS + 1
#: The smallest LSTM that has a unit for all that is read.
LEAST_HIDDEN = LSTM_INPUTS + 2
_GATES = ("write", "candidate", "forget", "read")
_OPEN = 4.0

#: Channels of the per-parameter networks that a network of the bank stands for, by position.
CHANNELS = {
    "adam_0.9": 7,
    "momentum_0.9": 3,
    "adam_0.99": 8,
    "momentum_0.99": 4,
    "adam_0.999": 9,
    "gradient_over_root": 14,
    "factored_0.9": 27,
    "factored_0.99": 28,
    "factored_gradient": 11,
    "parameter": 2,
    "clipped_gradient": 1,
    "momentum_0.999": 5,
}
_CARRIER, _FIRST_CHANNEL, _FREE, _LOG_STEP = 0, 1, (13, 14), 15
#: The smallest bank.
LEAST_BANK = 16

# A control is multiplied by this over the number of networks when the bank is mixed.
_MIXTURE = 100.0
# The second output times 0.001 is the logarithm of the step.
_MAGNITUDE = 1000.0


@dataclass(frozen=True)
class Unit:
    """A unit of the LSTM: the weights of its gates on the inputs, and their biases.

    Attributes:
      name: What it holds.
      candidate: What goes into the cell.
      write: How far it does.
      forget: Bias of how much of the cell is kept; 1 is added to it.
      read: Bias of how far the cell is told.
      biases: Of the candidate and of the gate of writing.
      cell: What the cell begins with.
    """

    name: str
    candidate: Mapping[int, float]
    write: Mapping[int, float] = field(default_factory=dict)
    forget: float = 0.0
    read: float = 0.0
    biases: tuple[float, float] = (0.0, 0.0)
    cell: float = 0.0


def _average(
    name: str, candidate: Mapping[int, float], bias: float = 0.0, *, rate: float = 0.1
) -> Unit:
    """A unit that holds the average of its candidate over about ``1 / rate`` updates."""
    # Written half as strongly again, so that the cell uses more of the range of tanh.
    return Unit(
        name,
        candidate,
        forget=_logit(1.0 - rate) - 1.0,
        read=_OPEN,
        biases=(bias, _logit(1.5 * rate)),
    )


def _counter(name: str, scale: float) -> Unit:
    """A unit that counts updates in the first 3% of the run, and then holds their number."""
    return Unit(
        name,
        {},
        write={_FRACTION: -30.0},
        forget=12.0,
        read=_OPEN,
        biases=(math.atanh(1.0 / scale), 0.0),
    )


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))


def _mean(first: int, last: int) -> dict[int, float]:
    return {_LOSS + index: 1.0 / (last - first) for index in range(first, last)}


#: The units with a meaning, by position. The first two are those of `structured_weights`.
UNITS = (
    Unit("small vector", {_SECOND: 2.0, _VECTOR: 6.0}, biases=(-6.0, 0.0), cell=-1.86),
    Unit("clock", {_FRACTION + at: 0.1 for at in range(2, 7)}, cell=-0.8),
    # Runs of about 200, 1,000 and 5,000 updates.
    _counter("long 200", 6.0),
    _counter("long 1000", 30.0),
    _counter("long 5000", 150.0),
    _average("3% done", {_FRACTION: 1.5}, rate=0.3),
    _average("10% done", {_FRACTION + 1: 1.5}, rate=0.3),
    _average("40% done", {_FRACTION + 3: 1.5}, rate=0.3),
    _average("80% done", {_FRACTION + 5: 1.5}, rate=0.3),
    _average("95% done", {_FRACTION + 6: 0.75, _FRACTION + 7: 0.75}, 0.5, rate=0.3),
    # A consistent gradient has momenta of the same variance, noise much smaller long ones. Those
    # under 7e-4 of the tensor's own mean square look alike to VeLO, and so does their ratio.
    _average("consistent 0.999", {_VARIANCE + 2: 0.7, _VARIANCE: -0.7}, 0.8),
    _average("consistent 0.99", {_VARIANCE + 1: 1.0, _VARIANCE: -1.0}, 0.6),
    _average("second moment", {_SECOND: 0.6}),
    _average("spread", {_SPREAD: 0.5, _SECOND: -0.5}),
    _average("scalar", {_SCALAR: 4.0}, -2.0),
    _average("vector", {_VECTOR: 4.0}, -2.0),
    _average("matrix", {_MATRIX: 4.0}, -2.0),
    _average("convolution", {_CONVOLUTION: 4.0}, -2.0),
    _average("loss, short", _mean(0, 3), 0.5, rate=0.05),
    _average("loss, middle", _mean(3, 6), 0.5, rate=0.05),
    _average("loss, long", _mean(6, 9), 0.5, rate=0.05),
    _average("against the largest", {_SECOND: 0.6, _LARGEST_SECOND: -0.6}, 1.5),
    _average("consistent vector", {_VECTOR: 3.0, _VARIANCE + 2: 0.7, _VARIANCE: -0.7}, -2.2),
    _average("second moment of matrix", {_MATRIX: 3.0, _SECOND: 0.8}, -3.0),
    _average("second moment of vector", {_VECTOR: 3.0, _SECOND: 0.8}, -3.0),
    _average("second moment of convolution", {_CONVOLUTION: 3.0, _SECOND: 0.8}, -3.0),
    _average("variance", {_VARIANCE: 0.5}),
    _average("loss, late", {**_mean(0, 6), _FRACTION + 5: 1.0}, rate=0.05),
)

# A change of a control of these is a smaller one of the direction: long momenta and the weights
# themselves (which shrink, or grow, by it) soon make a run unstable.
_GENTLE = {
    "parameter": 0.2,
    "adam_0.99": 0.5,
    "momentum_0.99": 0.5,
    "adam_0.999": 0.25,
    "momentum_0.999": 0.25,
}


@dataclass(frozen=True)
class Numbers:
    """What the hand-made weights are made with; the defaults were chosen by hand.

    Attributes:
      step: Size of a step relative to the parameters' root mean square, halfway through the run,
        if the run were too short to be counted: by default 0.021 in one of 100 updates, 0.01 in
        one of 2,000.
      small: How many times larger the steps of small vectors are: see `StartingPoint.small`.
      direction: Of what the direction is: weights of channels of root mean square 1.
      log_step: For a unit, by how much the logarithm of the step grows with what it tells. The
        default: steps are smaller as the run turns out to be longer than 200, 1,000, 5,000 updates.
      mixture: For a unit, by how much the weights of channels grow with what it tells.
    """

    step: float = 0.025
    small: float = 5.0
    direction: Mapping[str, float] = field(
        default_factory=lambda: {"adam_0.9": 0.6, "momentum_0.9": 0.4, "parameter": 0.08}
    )
    log_step: Mapping[str, float] = field(
        default_factory=lambda: {"long 200": -0.2, "long 1000": -0.5, "long 5000": -0.7}
    )
    mixture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


# What the clock's unit tells halfway through the run is 0, and this at its ends, with either sign;
# the small vector's unit tells this with either sign.
_CLOCK, _SMALL_TOLD = 0.37, 0.48


def featured_weights(
    key: Array, *, hidden: int, bank: int, numbers: Numbers | None = None
) -> VeLOWeights:
    """Returns weights of a normalised-momentum optimizer whose LSTM holds features.

    Args:
      key: A PRNG key, for what is left random: units after `UNITS`, and two networks.
      hidden: Size of the LSTM, at least 32.
      bank: Number of per-parameter networks, at least 16.
      numbers: What the weights are made with; default: those chosen by hand.

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
    for position, unit in enumerate(UNITS):
        _write_unit(arrays, position, unit, hidden)
    _write_bank(arrays, bank)
    _write_outputs(arrays, numbers or Numbers())
    return VeLOWeights(**{name: jnp.asarray(array) for name, array in arrays.items()})


def _write_inputs(arrays: dict[str, np.ndarray]) -> None:
    """Each input has a place of its own among what the LSTM reads."""
    for name in ("project_w", "project_b", "pool_w", "pool_b"):
        arrays[name][:] = 0.0
    places = np.arange(LSTM_INPUTS)
    arrays["project_w"][places, places] = 1.0
    # Magnitudes are -2.5 and more.
    for place, source in ((_LARGEST_SECOND, _SECOND), (_LARGEST_VARIANCE, _VARIANCE)):
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
    unit = {unit.name: position for position, unit in enumerate(UNITS)}
    for name, weight in numbers.direction.items():
        constant[network[name]] = weight / _GENTLE.get(name, 1.0)
    for told, weights in numbers.mixture.items():
        for name, weight in weights.items():
            by_unit[unit[told], network[name]] += weight / _GENTLE.get(name, 1.0)
    half = math.log(numbers.small) / 2.0
    constant[_LOG_STEP] = half
    by_unit[unit["small vector"], _LOG_STEP] = half / _SMALL_TOLD
    for name, change in numbers.log_step.items():
        by_unit[unit[name], _LOG_STEP] += change
    # A step is 0.001 times this output: it falls from twice its middle to nothing.
    arrays["step_size_b"][0] = 1000.0 * numbers.step
    arrays["step_size_w"][unit["clock"], 0] = -1000.0 * numbers.step / _CLOCK
