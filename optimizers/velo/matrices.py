"""Matrices and tensors of higher rank: their accumulators, channels and steps.

Everything here sees a group of `grouping.MatrixGroup` as one array ``[tensor, batch, rows,
columns]``; where three decays are kept, their axis comes first.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from velodrome.optimizers.velo.grouping import MatrixGroup
from velodrome.optimizers.velo.network import (
    DENSE,
    RANK_ONE,
    Network,
    plain_channels,
    rank_one_channels,
)
from velodrome.optimizers.velo.tensor_statistics import (
    TINY,
    average,
    average_second,
    axis_sums,
    clip,
    next_means,
    safe_rsqrt,
    tensor_sums,
)


class MatrixState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and its means over columns and rows."""

    momentum: Float[Array, "3 tensor batch rows columns"]
    second: Float[Array, "tensor batch rows columns"]
    by_row: Float[Array, "3 tensor batch rows"]
    by_column: Float[Array, "3 tensor batch columns"]


def init_state(group: MatrixGroup) -> MatrixState:
    tensor = group.stacked
    return MatrixState(
        momentum=jnp.zeros((3, *tensor), jnp.float32),
        second=jnp.zeros(tensor, jnp.float32),
        by_row=jnp.zeros((3, *tensor[:3]), jnp.float32),
        by_column=jnp.zeros((3, *tensor[:2], tensor[3]), jnp.float32),
    )


def observe(
    group: MatrixGroup,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    parameters: Float[Array, "tensor batch rows columns"],
    means: Float[Array, "4 tensor"],
) -> tuple[MatrixState, Float[Array, "4 tensor"], Float[Array, "channels tensor"]]:
    """Put a gradient into the accumulators and measure the channels that result.

    ``means`` are those of the accumulators (`network.ACCUMULATORS`) over each tensor, before.

    Returns:
      The new accumulators, their means, and the mean over each tensor of each squared channel, of
      the accumulators taken about their means.
    """
    gradient = clip(gradient)
    square = gradient**2
    sums, column_sums = axis_sums([gradient, square], axis=-2)
    row_sums, parameter_sums = axis_sums([square, parameters**2], axis=-1)
    new = MatrixState(
        momentum=average(state.momentum, gradient[None]),
        second=average_second(state.second, square),
        by_row=average(state.by_row, row_sums[None] / group.columns + TINY),
        by_column=average(state.by_column, column_sums[None] / group.rows + TINY),
    )
    first = [tensor_sums(x[None]) / group.size for x in (sums, row_sums, parameter_sums)]
    means = next_means(means, jnp.concatenate(first[:2]))
    rest = _channel_squares(group, new, gradient, means)
    return new, means, jnp.concatenate([*first[1:], *rest])


def _channel_squares(
    group: MatrixGroup,
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
    momenta = jnp.unstack(state.momentum)
    squares = [square, *(momentum**2 for momentum in momenta)]
    inverse = 1.0 / (state.second + 1e-6)
    factors = [factor**2 for factor in _factors(group, state)]
    *momentum_means, second_mean = jnp.unstack(means[:, :, None, None, None])
    sums = axis_sums(
        [
            jnp.minimum(square, 0.01),
            *((m - mean) ** 2 for m, mean in zip(momenta, momentum_means, strict=True)),
            (state.second - second_mean) ** 2,
            *(momentum_square * inverse for momentum_square in squares[1:]),
            inverse,
            square * inverse,
            *(square * factor for factor in factors),
            *(x * factor for x, factor in zip(squares[1:], factors, strict=True)),
        ],
        axis=-1,
    )
    rank_one = [
        [tensor_sums(means**2) / lines, tensor_sums(1.0 / (means + 1e-8)) / lines]
        for means, lines in (
            (state.by_row, group.batch * group.rows),
            (state.by_column, group.batch * group.columns),
        )
    ]
    of_rows, of_columns = rank_one if group.larger_last else rank_one[::-1]
    return [tensor_sums(jnp.stack(sums)) / group.size, *of_rows, *of_columns]


def steps(
    group: MatrixGroup,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    parameters: Float[Array, "tensor batch rows columns"],
    networks: Float[Array, "tensor flat"],
) -> Float[Array, "tensor batch rows columns"]:
    """Return what to add to the parameters; ``networks`` come from `network.prepare`."""
    gradient = clip(gradient)
    momenta = jnp.unstack(state.momentum)
    factors = _factors(group, state)
    dense = [
        *plain_channels(gradient, parameters, momenta, state.second),
        *(gradient * factor for factor in factors),
        *(momentum * factor for momentum, factor in zip(momenta, factors, strict=True)),
    ]
    row_start, column_start = DENSE, DENSE + RANK_ONE
    if not group.larger_last:
        row_start, column_start = column_start, row_start
    network = Network(networks)
    first = network.first_layer(dense, start=0)
    of_rows = network.first_layer(rank_one_channels(state.by_row), start=row_start)
    of_columns = network.first_layer(rank_one_channels(state.by_column), start=column_start)
    return network.steps(
        [
            x + r[:, :, :, None] + c[:, :, None, :]
            for x, r, c in zip(first, of_rows, of_columns, strict=True)
        ]
    )


def _factors(
    group: MatrixGroup, state: MatrixState
) -> list[Float[Array, "tensor batch rows columns"]]:
    """Return for each decay what scales a gradient by its factored second moment.

    It is one over the root of a row's mean times a column's mean, where the means over the larger
    dimension are taken relative to their own mean.
    """
    by_row, by_column = state.by_row, state.by_column
    if group.larger_last:
        by_row = by_row / (jnp.mean(by_row, axis=-1, keepdims=True) + 1e-9)
    else:
        by_column = by_column / (jnp.mean(by_column, axis=-1, keepdims=True) + 1e-9)
    return [
        row[:, :, :, None] * column[:, :, None, :]
        for row, column in zip(
            jnp.unstack(safe_rsqrt(by_row)), jnp.unstack(safe_rsqrt(by_column)), strict=True
        )
    ]
