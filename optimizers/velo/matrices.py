"""Matrices and tensors of higher rank: their accumulators, channels and steps.

Everything here sees a group of `grouping.MatrixGroup` as one array ``[tensor, batch, rows,
columns]``; where three decays are kept, their axis comes first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.grouping import MatrixGroup
from velodrome.optimizers.velo.network import Network, plain_channels, rank_one_channels
from velodrome.optimizers.velo.reads import (
    CLIPPED,
    COLUMN,
    DECAY_COUNT,
    FACTORED_GRADIENT,
    FACTORED_MOMENTUM,
    GRADIENT,
    INVERSE_ROOT,
    MOMENTUM,
    NORMALISED_GRADIENT,
    NORMALISED_MOMENTUM,
    PARAMETER,
    ROW,
    SECOND,
    Reads,
)
from velodrome.optimizers.velo.sums import axis_sums, sums_by_tensor, tensor_sums
from velodrome.optimizers.velo.tensor_statistics import (
    TINY,
    average,
    clip,
    next_averages,
    next_means,
    safe_rsqrt,
)

# The channels of a matrix by the arrays that they are made of.
_BY_MOMENTUM = (
    *(CLIPPED, INVERSE_ROOT, MOMENTUM, NORMALISED_MOMENTUM, FACTORED_GRADIENT, FACTORED_MOMENTUM),
    *(SECOND, NORMALISED_GRADIENT),
    *(
        start + decay
        for decay in (1, 2)
        for start in (MOMENTUM, NORMALISED_MOMENTUM, FACTORED_GRADIENT, FACTORED_MOMENTUM)
    ),
)


class MatrixState(NamedTuple):
    """Accumulators of a group: momenta, then the second moment, and its means by row and column.

    Only those that are read are kept: see `reads`.
    """

    averages: Float[Array, "kept tensor batch rows columns"]
    by_row: Float[Array, "factored tensor batch rows"]
    by_column: Float[Array, "factored tensor batch columns"]


def init_state(group: MatrixGroup, reads: Reads) -> MatrixState:
    tensor, factored = group.stacked, len(reads.factored)
    return MatrixState(
        averages=jnp.zeros((reads.averages, *tensor), jnp.float32),
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
) -> tuple[
    MatrixState,
    Float[Array, " tensor"],
    dict[int, Float[Array, " tensor"]],
    list[Float[Array, "_ tensor"]],
]:
    """Put a gradient into the accumulators and measure the channels that result.

    ``means`` are those of the accumulators (`reads.ACCUMULATORS`) over each tensor, before.

    Returns:
      The new accumulators; the sum of the gradient over each tensor; that of each squared channel
      that is measured, of the accumulators taken about their means; and those of the channels from
      `reads.ROW` on, in parts along the first axis.
    """
    gradient = clip(gradient)
    square = gradient**2
    by_row, by_column = state.by_row, state.by_column
    terms = [gradient, square, parameters**2]
    if reads.factored:
        # In one pass with gradients, parameters would stay in memory for longer.
        first = len(terms) if group.small else 2
        sums = axis_sums(terms[:first], axis=-2)
        row_sums, *others = axis_sums([square, *terms[first:]], axis=-1)
        by_row = average(by_row, row_sums[None] / group.columns + TINY, reads.factored)
        by_column = average(by_column, sums[1][None] / group.rows + TINY, reads.factored)
    else:
        sums, others = axis_sums(terms, axis=-1), []
    new = MatrixState(next_averages(state.averages, gradient, square, reads), by_row, by_column)
    totals = [total for part in (sums, others) if part for total in sums_by_tensor(part)]
    total, square_total, parameter_total = totals
    after = next_means(means, total / group.size, square_total / group.size)
    rest = _channel_squares(group, reads, new, gradient, after)
    measured = {GRADIENT: square_total, PARAMETER: parameter_total} | rest
    return new, total, measured, _rank_one_squares(group, reads, new)


def _channel_squares(
    group: MatrixGroup,
    reads: Reads,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    means: Sequence[Float[Array, " tensor"]],
) -> dict[int, Float[Array, " tensor"]]:
    """Return the sum over each tensor of each squared dense channel but the first two.

    Accumulators have their variance instead: taken about means known beforehand it keeps all its
    digits, where the difference of mean square and squared mean would lose those they share.

    Squared channels are products of a few quantities that they share; the channels themselves
    are never computed.
    """
    square = gradient**2
    momenta, second = reads.momenta_and_second(state.averages)
    squares = {decay: momentum**2 for decay, momentum in momenta.items()}
    factors = _factors(reads, *_inverse_roots(group, state))
    factors = {decay: factor**2 for decay, factor in factors.items()}
    *momentum_means, second_mean = (mean[:, None, None, None] for mean in means)
    terms = {
        CLIPPED: jnp.minimum(square, 0.01),
        **{MOMENTUM + d: (m - momentum_means[d]) ** 2 for d, m in momenta.items()},
    }
    if second is not None:
        inverse = 1.0 / (second + 1e-6)
        terms |= {
            SECOND: (second - second_mean) ** 2,
            **{NORMALISED_MOMENTUM + d: momentum * inverse for d, momentum in squares.items()},
            INVERSE_ROOT: inverse,
            NORMALISED_GRADIENT: square * inverse,
        }
    terms |= {FACTORED_GRADIENT + d: square * factor for d, factor in factors.items()}
    terms |= {
        FACTORED_MOMENTUM + d: squares[d] * factor for d, factor in factors.items() if d in squares
    }
    # Those of one momentum are neighbours, so that a part of the sums reads few arrays.
    measured = {channel: terms[channel] for channel in _BY_MOMENTUM if channel in reads.measured}
    totals = sums_by_tensor([*measured.values()], in_parts=group.light) if measured else []
    return dict(zip(measured, totals, strict=True))


def _rank_one_squares(
    group: MatrixGroup, reads: Reads, state: MatrixState
) -> list[Float[Array, "_ tensor"]]:
    """Return that of each squared channel that is constant along a factored dimension."""
    averages = zip(_rank_one_starts(group), (state.by_row, state.by_column), strict=True)
    repeats = group.columns, group.rows
    found: dict[int, Array] = {}
    for (start, x), repeat in zip(averages, repeats, strict=True):
        channels = [start + i + decay for i in (0, DECAY_COUNT) for decay in reads.factored]
        kept = [at for at, channel in enumerate(channels) if channel in reads.measured]
        if kept:
            sums = jnp.concatenate([tensor_sums(repeat * x**2), tensor_sums(repeat / (x + 1e-8))])
            found[start] = sums if len(kept) == len(channels) else sums[np.asarray(kept)]
    return [found[start] for start in sorted(found)]


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
    averages, by_row, by_column = state
    row_roots, column_roots = _inverse_roots(group, state)
    if len(group.members) == 1:
        # XLA changes parameters in place only by a loop over arrays of their own shape.
        *batch, rows, columns = (group.shape[axis] for axis in group.order)
        gradient, parameters = (x.reshape(*batch, rows, columns) for x in (gradient, parameters))
        averages = averages.reshape(len(averages), *batch, rows, columns)
        by_row, row_roots = (x.reshape(len(x), *batch, rows) for x in (by_row, row_roots))
        by_column, column_roots = (
            x.reshape(len(x), *batch, columns) for x in (by_column, column_roots)
        )
        networks = networks[0]
    gradient = clip(gradient)
    momenta, second = reads.momenta_and_second(averages)
    factors = _factors(reads, row_roots, column_roots)
    dense = plain_channels(gradient, parameters, momenta, second)
    dense |= {FACTORED_GRADIENT + d: gradient * factor for d, factor in factors.items()}
    dense |= {
        FACTORED_MOMENTUM + d: momenta[d] * factor for d, factor in factors.items() if d in momenta
    }
    network = Network(reads, networks)
    of_rows, of_columns = (
        network.rank_one_layer(rank_one_channels(x, reads.factored, start=start), small=group.small)
        for start, x in zip(_rank_one_starts(group), (by_row, by_column), strict=True)
    )
    first = [
        _add(x, row, column)
        for x, row, column in zip(network.first_layer(dense), of_rows, of_columns, strict=True)
    ]
    return network.steps(first, gradient.shape).reshape(group.stacked)


def _add(x: Array | None, row: Array | None, column: Array | None) -> Array | None:
    """Return the sum of what there is; a matrix, unless there is nothing."""
    spread = [
        *([] if x is None else [x]),
        *([] if row is None else [row[..., :, None]]),
        *([] if column is None else [column[..., None, :]]),
    ]
    return functools.reduce(jnp.add, spread) if spread else None


def _inverse_roots(
    group: MatrixGroup, state: MatrixState
) -> tuple[
    Float[Array, "factored tensor batch rows"], Float[Array, "factored tensor batch columns"]
]:
    """Return one over the roots of the row and column means of the squares.

    The means over the larger dimension are taken relative to their own mean.
    """
    by_row, by_column = state.by_row, state.by_column
    if group.larger_last:
        by_row = by_row / (jnp.mean(by_row, axis=-1, keepdims=True) + 1e-9)
    else:
        by_column = by_column / (jnp.mean(by_column, axis=-1, keepdims=True) + 1e-9)
    return safe_rsqrt(by_row), safe_rsqrt(by_column)


def _factors(
    reads: Reads,
    rows: Float[Array, "factored ... rows"],
    columns: Float[Array, "factored ... columns"],
) -> dict[int, Float[Array, "... rows columns"]]:
    """Return for each decay what scales a gradient by its factored second moment."""
    pairs = zip(reads.factored, jnp.unstack(rows), jnp.unstack(columns), strict=True)
    return {decay: row[..., :, None] * column[..., None, :] for decay, row, column in pairs}
