"""Matrices and tensors of higher rank: their accumulators, channels and steps.

Everything here sees a group of `grouping.MatrixGroup` as one array ``[tensor, batch, rows,
columns]``; where three decays are kept, their axis comes first.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from velodrome.optimizers.velo.grouping import MatrixGroup
from velodrome.optimizers.velo.network import Network, plain_channels, rank_one_channels
from velodrome.optimizers.velo.reads import (
    CLIPPED,
    COLUMN,
    DECAY_COUNT,
    FACTORED_GRADIENT,
    FACTORED_MOMENTUM,
    INVERSE_ROOT,
    MOMENTUM,
    NORMALISED_GRADIENT,
    NORMALISED_MOMENTUM,
    ROW,
    SECOND,
    Reads,
)
from velodrome.optimizers.velo.sums import axis_sums, sums_by_tensor, tensor_sums
from velodrome.optimizers.velo.tensor_statistics import (
    TINY,
    average,
    average_second,
    clip,
    next_means,
    safe_rsqrt,
)


class MatrixState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and its means over columns and rows.

    Only those that are read are kept: see `reads`.
    """

    momentum: Float[Array, "momenta tensor batch rows columns"]
    second: Float[Array, "tensor batch rows columns"] | None
    by_row: Float[Array, "factored tensor batch rows"]
    by_column: Float[Array, "factored tensor batch columns"]


def init_state(group: MatrixGroup, reads: Reads) -> MatrixState:
    tensor, factored = group.stacked, len(reads.factored)
    return MatrixState(
        momentum=jnp.zeros((len(reads.momenta), *tensor), jnp.float32),
        second=jnp.zeros(tensor, jnp.float32) if reads.second else None,
        by_row=jnp.zeros((factored, *tensor[:3]), jnp.float32),
        by_column=jnp.zeros((factored, *tensor[:2], tensor[3]), jnp.float32),
    )


def observe(
    group: MatrixGroup,
    reads: Reads,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    parameters: Float[Array, "tensor batch rows columns"],
    means: Float[Array, "4 tensor"],
) -> tuple[MatrixState, Float[Array, "4 tensor"], Float[Array, "measured tensor"]]:
    """Put a gradient into the accumulators and measure the channels that result.

    ``means`` are those of the accumulators (`reads.ACCUMULATORS`) over each tensor, before.

    Returns:
      The new accumulators, their means, and the mean over each tensor of each squared channel that
      is measured, of the accumulators taken about their means.
    """
    gradient = clip(gradient)
    square = gradient**2
    row_terms = [square, parameters**2]
    if reads.factored:
        sums, column_sums = axis_sums([gradient, square], axis=-2)
        row_sums, parameter_sums = axis_sums(row_terms, axis=-1)
        by_row = average(state.by_row, row_sums[None] / group.columns + TINY, reads.factored)
        by_column = average(state.by_column, column_sums[None] / group.rows + TINY, reads.factored)
    else:
        sums, row_sums, parameter_sums = axis_sums([gradient, *row_terms], axis=-1)
        by_row, by_column = state.by_row, state.by_column
    new = MatrixState(
        momentum=average(state.momentum, gradient[None], reads.momenta),
        second=None if state.second is None else average_second(state.second, square),
        by_row=by_row,
        by_column=by_column,
    )
    first = [tensor_sums(x[None]) / group.size for x in (sums, row_sums, parameter_sums)]
    means = next_means(means, jnp.concatenate(first[:2]))
    rest = _channel_squares(group, reads, new, gradient, means)
    return new, means, jnp.concatenate([*first[1:], *rest])


def _channel_squares(
    group: MatrixGroup,
    reads: Reads,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    means: Float[Array, "4 tensor"],
) -> list[Float[Array, "_ tensor"]]:
    """Return the mean over each tensor of each squared channel but the first two.

    Accumulators have their variance instead: taken about means known beforehand it keeps all its
    digits, where the difference of mean square and squared mean would lose those they share.

    Squared channels are products of a few quantities that they share; the channels themselves
    are never computed.
    """
    square = gradient**2
    momenta = dict(zip(reads.momenta, jnp.unstack(state.momentum), strict=True))
    squares = {decay: momentum**2 for decay, momentum in momenta.items()}
    factors = {decay: factor**2 for decay, factor in _factors(group, reads, state).items()}
    *momentum_means, second_mean = jnp.unstack(means[:, :, None, None, None])
    terms = {
        CLIPPED: jnp.minimum(square, 0.01),
        **{MOMENTUM + d: (m - momentum_means[d]) ** 2 for d, m in momenta.items()},
    }
    if state.second is not None:
        inverse = 1.0 / (state.second + 1e-6)
        terms |= {
            SECOND: (state.second - second_mean) ** 2,
            **{NORMALISED_MOMENTUM + d: momentum * inverse for d, momentum in squares.items()},
            INVERSE_ROOT: inverse,
            NORMALISED_GRADIENT: square * inverse,
        }
    terms |= {FACTORED_GRADIENT + d: square * factor for d, factor in factors.items()}
    terms |= {
        FACTORED_MOMENTUM + d: squares[d] * factor for d, factor in factors.items() if d in squares
    }
    measured = [term for channel, term in terms.items() if channel in reads.measured]
    dense = [sums_by_tensor(measured) / group.size] if measured else []
    return [*dense, *_rank_one_squares(group, reads, state)]


def _rank_one_squares(
    group: MatrixGroup, reads: Reads, state: MatrixState
) -> list[Float[Array, "_ tensor"]]:
    """Return the mean of each squared channel that is constant along a factored dimension."""
    starts = _rank_one_starts(group)
    lines = group.batch * group.rows, group.batch * group.columns
    squares = {}
    for start, averages, count in zip(starts, (state.by_row, state.by_column), lines, strict=True):
        channels = [start + i + decay for i in (0, DECAY_COUNT) for decay in reads.factored]
        if any(channel in reads.measured for channel in channels):
            sums = [tensor_sums(averages**2) / count, tensor_sums(1.0 / (averages + 1e-8)) / count]
            squares[start] = reads.measured_rows(channels, jnp.concatenate(sums))
    return [squares[start] for start in sorted(squares)]


def _rank_one_starts(group: MatrixGroup) -> tuple[int, int]:
    """Return the first channels of the means over columns and of those over rows."""
    return (ROW, COLUMN) if group.larger_last else (COLUMN, ROW)


def steps(
    group: MatrixGroup,
    reads: Reads,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    parameters: Float[Array, "tensor batch rows columns"],
    networks: Float[Array, "tensor flat"],
) -> Float[Array, "tensor batch rows columns"]:
    """Return what to add to the parameters; ``networks`` come from `network.prepare`."""
    gradient = clip(gradient)
    momenta = dict(zip(reads.momenta, jnp.unstack(state.momentum), strict=True))
    factors = _factors(group, reads, state)
    dense = plain_channels(gradient, parameters, momenta, state.second)
    dense |= {FACTORED_GRADIENT + d: gradient * factor for d, factor in factors.items()}
    dense |= {
        FACTORED_MOMENTUM + d: momenta[d] * factor for d, factor in factors.items() if d in momenta
    }
    row_start, column_start = _rank_one_starts(group)
    network = Network(reads, networks)
    of_rows = network.first_layer(rank_one_channels(state.by_row, reads.factored, start=row_start))
    of_columns = network.first_layer(
        rank_one_channels(state.by_column, reads.factored, start=column_start)
    )
    first = [
        _add(x, row, column)
        for x, row, column in zip(network.first_layer(dense), of_rows, of_columns, strict=True)
    ]
    return network.steps(first, gradient.shape)


def _add(x: Array | None, row: Array | None, column: Array | None) -> Array | None:
    """Return the sum of what there is; a matrix, unless there is nothing."""
    spread = [
        *([] if x is None else [x]),
        *([] if row is None else [row[:, :, :, None]]),
        *([] if column is None else [column[:, :, None, :]]),
    ]
    return functools.reduce(jnp.add, spread) if spread else None


def _factors(
    group: MatrixGroup, reads: Reads, state: MatrixState
) -> dict[int, Float[Array, "tensor batch rows columns"]]:
    """Return for each decay what scales a gradient by its factored second moment.

    It is one over the root of a row's mean times a column's mean, where the means over the larger
    dimension are taken relative to their own mean.
    """
    by_row, by_column = state.by_row, state.by_column
    if group.larger_last:
        by_row = by_row / (jnp.mean(by_row, axis=-1, keepdims=True) + 1e-9)
    else:
        by_column = by_column / (jnp.mean(by_column, axis=-1, keepdims=True) + 1e-9)
    pairs = zip(
        reads.factored,
        jnp.unstack(safe_rsqrt(by_row)),
        jnp.unstack(safe_rsqrt(by_column)),
        strict=True,
    )
    return {decay: row[:, :, :, None] * column[:, :, None, :] for decay, row, column in pairs}
