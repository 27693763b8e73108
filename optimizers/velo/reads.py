"""The numbers of a per-parameter network by position, and which of them a set of weights uses.

Small searched weights are mostly zeros. A product that is always zero takes its channel away, a
channel that nobody reads its statistics, and an accumulator that neither a channel nor the LSTM
reads its memory. All of it is known before training, from the weights (`pruning.prune`).

Eighteen channels vary with both dimensions of a matrix. Twelve are constant along one of its two
factored dimensions: six repeat the factored second moment that averages over the larger one
("row"), six the other ("column"): the averages with three decays, then their inverse roots. Metz
et al. 2022 (arXiv 2211.09760); class ``HyperV2`` of google/learned_optimization.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.weights.tree import CHANNELS, LSTM_INPUTS, WIDTH

# Numbers of the channels. Where three decays are kept, theirs follow each other.
GRADIENT, PARAMETER, CLIPPED, MOMENTUM = 0, 1, 2, 3
SECOND, NORMALISED_MOMENTUM, INVERSE_ROOT, NORMALISED_GRADIENT = 6, 7, 10, 11
FACTORED_GRADIENT, FACTORED_MOMENTUM, ROW, COLUMN = 12, 15, 18, 24

#: The accumulators among the channels: three momenta and the second moment.
ACCUMULATORS = range(MOMENTUM, SECOND + 1)

#: How many decays momenta and factored second moments have.
DECAY_COUNT = 3

#: Outputs that are used: direction and log-magnitude. The published networks have a third.
USED_OUTPUTS = 2

#: Sizes of the parts of a flat network: w0, b0, w1, b1, w2, b2, and how far the tensor steps.
PARTS = (CHANNELS * WIDTH, WIDTH, WIDTH * WIDTH, WIDTH, WIDTH * USED_OUTPUTS, USED_OUTPUTS, 1)

#: Positions of the parts among them.
W0, B0, W1, B1, W2, B2, STEP = range(len(PARTS))

#: Where each part starts, and how many numbers there are.
STARTS = tuple(int(start) for start in np.cumsum((0, *PARTS)))
FLAT = STARTS[-1]

# The LSTM's inputs that are variances of the momenta, and those that read the second moment's.
_MOMENTUM_VARIANCE = 24
_SECOND_VARIANCES = range(27, LSTM_INPUTS)


@dataclass(frozen=True)
class Reads:
    """What is read. The properties follow from the fields.

    Args:
      network: Positions in a flat network of the numbers that are written at each update, in
        order. What is in neither `network` nor `fixed` is always zero, or mirrored.
      inputs: The inputs of the LSTM that reach a network.
      fixed: Positions of the numbers that are always the same and not zero, and those numbers.
      mirrored: Hidden units of the first layer that are another one's negative before their
        nonlinearity: for each the unit, and the other.
    """

    network: tuple[int, ...] = tuple(range(FLAT))
    inputs: tuple[int, ...] = tuple(range(LSTM_INPUTS))
    fixed: tuple[tuple[int, float], ...] = ()
    mirrored: tuple[tuple[int, int], ...] = ()

    @cached_property
    def columns(self) -> dict[int, int]:
        """For each of `network`, where it is among them."""
        return {position: column for column, position in enumerate(self.network)}

    @cached_property
    def constants(self) -> dict[int, float]:
        """`fixed` by position."""
        return dict(self.fixed)

    @cached_property
    def channels(self) -> frozenset[int]:
        """The channels that some hidden unit reads."""
        return frozenset(position // WIDTH for position in self.network if position < PARTS[W0])

    @cached_property
    def magnitude_varies(self) -> bool:
        """Whether the second output, the log-magnitude, may differ within a tensor."""
        weights = range(STARTS[W2] + 1, STARTS[B2], USED_OUTPUTS)
        return any(at in self.columns or at in self.constants for at in weights)

    @cached_property
    def momenta(self) -> tuple[int, ...]:
        """Which of the three momenta are kept."""
        starts = (MOMENTUM, NORMALISED_MOMENTUM, FACTORED_MOMENTUM)
        return tuple(
            decay
            for decay in range(DECAY_COUNT)
            if self._any(start + decay for start in starts)
            or _MOMENTUM_VARIANCE + decay in self.inputs
        )

    @cached_property
    def second(self) -> bool:
        """Whether the second moment is kept."""
        return self._any(range(SECOND, FACTORED_GRADIENT)) or self._second_variance

    @property
    def averages(self) -> int:
        """How many numbers are kept of each parameter: its momenta and second moment."""
        return len(self.momenta) + self.second

    def momenta_and_second(
        self, averages: Float[Array, "kept ..."]
    ) -> tuple[dict[int, Array], Array | None]:
        """Return the momenta by decay, and the second moment, of what is kept."""
        parts = [averages[i] for i in range(self.averages)]
        second = parts.pop() if self.second else None
        return dict(zip(self.momenta, parts, strict=True)), second

    @cached_property
    def factored(self) -> tuple[int, ...]:
        """Which of the three factored second moments are kept."""
        starts = (FACTORED_GRADIENT, *range(FACTORED_MOMENTUM, CHANNELS, DECAY_COUNT))
        return tuple(
            decay for decay in range(DECAY_COUNT) if self._any(start + decay for start in starts)
        )

    @cached_property
    def measured(self) -> tuple[int, ...]:
        """The channels whose mean squares are taken, in order.

        Those of the gradient and the parameter cost nothing more than what is needed anyway.
        """
        variances = {
            MOMENTUM + decay
            for decay in range(DECAY_COUNT)
            if _MOMENTUM_VARIANCE + decay in self.inputs
        }
        if self._second_variance:
            variances.add(SECOND)
        return tuple(sorted({GRADIENT, PARAMETER} | self.channels | variances))

    @property
    def _second_variance(self) -> bool:
        return any(position in self.inputs for position in _SECOND_VARIANCES)

    def _any(self, channels: Iterable[int]) -> bool:
        return any(channel in self.channels for channel in channels)


#: Everything is read: weights that are traced, and so not known.
EVERYTHING = Reads()
