"""The numbers that hand-made weights are made with: what they mean, their names, their defaults.

`features.featured_weights` makes the weights. The LSTM's first units hold features (`UNITS`), and
each network of the bank stands for one channel (`CHANNELS`), so each number says how much of a
channel the direction of a tensor has, or by how much its steps are longer, given a feature.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from velodrome.foundation.errors import UnknownNameError
from velodrome.optimizers.velo.weights.tree import LSTM_INPUTS

# Inputs of the LSTM: fractions of the run (9), loss (9), second moment, rank (5), variances of the
# momenta with decays 0.9, 0.99 and 0.999, and of the second moment about each.
FRACTION, LOSS, SECOND, RANK, VARIANCE, SPREAD = 0, 9, 18, 19, 24, 27
_SCALAR, _VECTOR, _MATRIX, _CONVOLUTION = RANK, RANK + 1, RANK + 2, RANK + 4
# Two more that the LSTM reads from all tensors: the largest second moment and variance among them.
LARGEST_SECOND, LARGEST_VARIANCE = LSTM_INPUTS, LSTM_INPUTS + 1

#: The smallest LSTM that has a unit for all that is read, and the smallest bank.
LEAST_HIDDEN, LEAST_BANK = LSTM_INPUTS + 2, 16

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

#: Numbers that are positive, and always given; a search moves them along their logarithms.
POSITIVE = ("step", "small")

# Weights beyond this are infinite anyway, and such a candidate diverges; floats end at e^709.
_FARTHEST = 300.0

_OPEN = 4.0


@dataclass(frozen=True)
class Unit:
    """A unit of the LSTM: the weights of its gates on the inputs, and their biases.

    Attributes:
      name: What it holds.
      candidate: What goes into the cell.
      write: How far it does.
      forget: Bias of how much of the cell is kept; 1 is added to it.
      read: Bias of how far the cell is read.
      biases: Biases of the candidate and of the gate of writing.
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
    """Make a unit that holds the average of its candidate over about ``1 / rate`` updates."""
    # Written half as strongly again, so that the cell uses more of the range of tanh.
    biases = (bias, _logit(1.5 * rate))
    return Unit(name, candidate, forget=_logit(1.0 - rate) - 1.0, read=_OPEN, biases=biases)


def _counter(name: str, scale: float) -> Unit:
    """Make a unit that counts updates in the first 3% of the run, and then holds their number."""
    biases = (math.atanh(1.0 / scale), 0.0)
    return Unit(name, {}, write={FRACTION: -30.0}, forget=12.0, read=_OPEN, biases=biases)


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))


def _mean(first: int, last: int, *, times: float = 1.0) -> dict[int, float]:
    return {LOSS + index: times / (last - first) for index in range(first, last)}


#: The units with a meaning, by position. The first two are those of `structured_weights`.
UNITS = (
    Unit("small vector", {SECOND: 2.0, _VECTOR: 6.0}, biases=(-6.0, 0.0), cell=-1.86),
    Unit("clock", {FRACTION + at: 0.1 for at in range(2, 7)}, cell=-0.8),
    # Runs of about 200, 1,000 and 5,000 updates.
    _counter("long 200", 6.0),
    _counter("long 1000", 30.0),
    _counter("long 5000", 150.0),
    _average("3% done", {FRACTION: 1.5}, rate=0.3),
    _average("10% done", {FRACTION + 1: 1.5}, rate=0.3),
    _average("40% done", {FRACTION + 3: 1.5}, rate=0.3),
    _average("80% done", {FRACTION + 5: 1.5}, rate=0.3),
    _average("95% done", {FRACTION + 6: 0.75, FRACTION + 7: 0.75}, 0.5, rate=0.3),
    # A consistent gradient has momenta of the same variance, noise much smaller long ones. Those
    # under 7e-4 of the tensor's own mean square look alike to VeLO, and so does their ratio.
    _average("consistent 0.999", {VARIANCE + 2: 0.7, VARIANCE: -0.7}, 0.8),
    _average("consistent 0.99", {VARIANCE + 1: 1.0, VARIANCE: -1.0}, 0.6),
    _average("second moment", {SECOND: 0.6}),
    _average("spread", {SPREAD: 0.5, SECOND: -0.5}),
    _average("scalar", {_SCALAR: 4.0}, -2.0),
    _average("vector", {_VECTOR: 4.0}, -2.0),
    _average("matrix", {_MATRIX: 4.0}, -2.0),
    _average("convolution", {_CONVOLUTION: 4.0}, -2.0),
    _average("loss, short", _mean(0, 3), 0.5, rate=0.05),
    _average("loss, middle", _mean(3, 6), 0.5, rate=0.05),
    _average("loss, long", _mean(6, 9), 0.5, rate=0.05),
    _average("against the largest", {SECOND: 0.6, LARGEST_SECOND: -0.6}, 1.5),
    _average("consistent vector", {_VECTOR: 3.0, VARIANCE + 2: 0.7, VARIANCE: -0.7}, -2.2),
    _average("second moment of matrix", {_MATRIX: 3.0, SECOND: 0.8}, -3.0),
    _average("second moment of vector", {_VECTOR: 3.0, SECOND: 0.8}, -3.0),
    _average("second moment of convolution", {_CONVOLUTION: 3.0, SECOND: 0.8}, -3.0),
    _average("variance", {VARIANCE: 0.5}),
    _average("loss, late", {**_mean(0, 6), FRACTION + 5: 1.0}, rate=0.05),
    # From 20% of the run on: noise has a long momentum much smaller than a short one. Before that,
    # the long momentum, which begins at zero, is small of consistent gradients too.
    Unit(
        "noise, late",
        {VARIANCE + 2: 1.5, VARIANCE: -1.5},
        {FRACTION + 2: 3.0},
        forget=_logit(0.9) - 1.0,
        read=_OPEN,
        biases=(3.75, -4.8),
    ),
    # In the first 20%, a loss that does not fall, of gradients that are small against the weights;
    # in the second unit, only of those whose momentum is small too, as that of noise is not.
    _average(
        "plateau", {**_mean(3, 9, times=3.0), FRACTION + 2: -2.0, SECOND: -1.0}, -2.0, rate=0.05
    ),
    _average(
        "still plateau",
        {**_mean(3, 9, times=3.0), FRACTION + 2: -2.0, SECOND: -1.0, VARIANCE: -2.0},
        -8.5,
        rate=0.05,
    ),
    _average("loss rises", _mean(3, 9, times=8.0), -1.5),
)

_UNITS = tuple(unit.name for unit in UNITS)

#: Units that came later. They are there only if a number reads them: so weights that were searched
#: before are made again to the last bit.
LATER = ("noise, late", "plateau", "still plateau", "loss rises")


@dataclass(frozen=True)
class Numbers:
    """The numbers of hand-made weights; the defaults were chosen by hand.

    Attributes:
      step: Size of a step relative to the parameters' root mean square, halfway through the run,
        if the run were too short to be counted: by default 0.021 in one of 100 updates, 0.01 in
        one of 2,000.
      small: How many times larger, at most, the relative steps of vectors are whose gradients are
        large against them: biases, which start at zero.
      direction: The weights of channels in the direction, each of root mean square 1.
      log_step: For a unit, by how much the logarithm of the step grows with what it holds. The
        default: steps are smaller as the run turns out to be longer than 200, 1,000, 5,000 updates.
      mixture: For a unit, by how much the weights of channels grow with what it holds.

    Raises:
      UnknownNameError: There is no such channel or unit.
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

    def __post_init__(self) -> None:
        for channel in self.direction:
            check_number_name(f"direction/{channel}")
        for unit in self.log_step:
            check_number_name(f"log_step/{unit}")
        for unit, weights in self.mixture.items():
            for channel in weights:
                check_number_name(f"mixture/{unit}/{channel}")


def check_number_name(name: str) -> None:
    """Raise an UnknownNameError unless ``name`` is one of a number.

    Names are ``step``, ``small``, ``direction/CHANNEL``, ``log_step/UNIT`` and
    ``mixture/UNIT/CHANNEL``, with the names in `CHANNELS` and `UNITS`.
    """
    kind, *rest = name.split("/")
    parts = {
        "step": (), "small": (), "direction": (CHANNELS,), "log_step": (_UNITS,),
        "mixture": (_UNITS, CHANNELS),
    }  # fmt: skip
    if kind not in parts or len(rest) != len(parts[kind]):
        forms = [*POSITIVE, "direction/CHANNEL", "log_step/UNIT", "mixture/UNIT/CHANNEL"]
        raise UnknownNameError("number of the hand-made weights", name, forms)
    for part, known in zip(rest, parts[kind], strict=True):
        if part not in known:
            what = "channel" if known is CHANNELS else "unit"
            raise UnknownNameError(f"{what} of the hand-made weights", part, sorted(known))


def moved(name: str, start: float, distance: float) -> float:
    """Return the number ``distance`` from ``start``: along its logarithm if it is positive."""
    if name not in POSITIVE:
        return start + distance
    return start * math.exp(min(distance, _FARTHEST))


def numbers_from(values: Mapping[str, float]) -> Numbers:
    """Return the numbers with these values by name; those that are not named are 0.

    Raises:
      UnknownNameError: A name is not one of a number.
    """
    fields: dict[str, Any] = {"direction": {}, "log_step": {}, "mixture": {}}
    for name, value in values.items():
        check_number_name(name)  # before it is taken apart
        kind, *rest = name.split("/")
        if not rest:
            fields[kind] = value
        elif kind == "mixture":
            fields[kind].setdefault(rest[0], {})[rest[1]] = value
        else:
            fields[kind][rest[0]] = value
    return Numbers(**fields)


def numbers_from_card(card: Mapping[str, Any]) -> Numbers:
    """Return the numbers that a card of searched weights lists (``training.numbers``)."""
    return Numbers(**card["training"]["numbers"])


def rounded(numbers: Numbers, digits: int = 3) -> Numbers:
    """Return the numbers with a few significant digits, which a card can print in full."""

    def rounds(value: float | Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            return {name: rounds(entry) for name, entry in value.items()}
        return float(f"{value:.{digits}g}")

    return Numbers(**{key: rounds(value) for key, value in dataclasses.asdict(numbers).items()})
