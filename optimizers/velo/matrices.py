"""Matrices and tensors of higher rank: their accumulators, channels, statistics and steps.

Everything here sees a group of `grouping.MatrixGroup` as one array ``[tensor, batch, rows,
columns]``; where three decays are kept, their axis comes first.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from optimizers.velo.accumulators import TINY, average, average_second, safe_rsqrt
from optimizers.velo.controller import TensorNetworks
from optimizers.velo.grouping import MatrixGroup
from optimizers.velo.network import negative_steps, normalised_first_layer
from optimizers.velo.sums import row_sums
from optimizers.velo.tensor_statistics import Measured, MomentStatistics
from optimizers.velo.weights import WIDTH

# Channels, in the order of the first layer's weights, that vary along rows and columns both ...
_DENSE = (*range(15), 27, 28, 29)
# ... and those that are constant along columns or rows: accumulators, then their inverse roots.
_ROW, _COLUMN = (15, 16, 17, 21, 22, 23), (18, 19, 20, 24, 25, 26)


class MatrixState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and its means over columns and rows."""

    momentum: Float[Array, "3 tensor batch rows columns"]
    second: Float[Array, "tensor batch rows columns"]
    by_row: Float[Array, "3 tensor batch rows"]
    by_column: Float[Array, "3 tensor batch columns"]


class Factors(NamedTuple):
    """Inverse roots whose product scales a gradient by its factored second moment."""

    by_row: Float[Array, "3 tensor batch rows"]
    by_column: Float[Array, "3 tensor batch columns"]


def init_state(group: MatrixGroup) -> MatrixState:
    """Returns accumulators that have seen no gradient."""
    tensor = (len(group.members), group.batch, group.rows, group.columns)
    return MatrixState(
        momentum=jnp.zeros((3, *tensor), jnp.float32),
        second=jnp.zeros(tensor, jnp.float32),
        by_row=jnp.zeros((3, *tensor[:3]), jnp.float32),
        by_column=jnp.zeros((3, *tensor[:2], tensor[3]), jnp.float32),
    )


def accumulate(
    state: MatrixState, gradient: Float[Array, "tensor batch rows columns"]
) -> MatrixState:
    """Returns the accumulators with one more gradient in them."""
    square = gradient**2
    return MatrixState(
        momentum=average(state.momentum, gradient[None]),
        second=average_second(state.second, square),
        by_row=average(state.by_row, jnp.mean(square, axis=-1)[None] + TINY),
        by_column=average(state.by_column, jnp.mean(square, axis=-2)[None] + TINY),
    )


def _factors(group: MatrixGroup, state: MatrixState) -> Factors:
    """Returns the factors of rows and columns; what is averaged over the larger dimension is
    taken relative to its mean."""
    if group.larger_last:
        return Factors(safe_rsqrt(_relative(state.by_row)), safe_rsqrt(state.by_column))
    return Factors(safe_rsqrt(state.by_row), safe_rsqrt(_relative(state.by_column)))


def _relative(means: Float[Array, "3 tensor batch n"]) -> Float[Array, "3 tensor batch n"]:
    return means / (jnp.mean(means, axis=-1, keepdims=True) + 1e-9)


def measure(
    group: MatrixGroup,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    parameters: Float[Array, "tensor batch rows columns"],
    before: MomentStatistics,
) -> Measured:
    """Returns the means over each tensor that its networks need.

    A squared channel is a product of few quantities, some constant along a row, so the squares
    are summed without the channels themselves; the variances are taken about means known before,
    which loses no digits.

    Args:
      group: The group.
      state: The accumulators with this update's gradient.
      gradient: Of this update.
      parameters: Before it.
      before: Statistics of the accumulators before this update.
    """
    momentum_mean = average(before.momentum_mean.T, jnp.mean(gradient, axis=(1, 2, 3))[None]).T
    square = gradient**2
    second_mean = average_second(before.second_mean, jnp.mean(square, axis=(1, 2, 3)))
    factors = _factors(group, state)
    momentum_squares = [state.momentum[k] ** 2 for k in range(3)]
    weight = 1.0 / (state.second + 1e-6)
    factor_squares = [factors.by_column[k][:, :, None, :] ** 2 for k in range(3)]
    sums = row_sums(
        [
            square,
            jnp.minimum(square, 0.01),
            parameters**2,
            (state.second - second_mean[:, None, None, None]) ** 2,
            weight,
            square * weight,
            *((state.momentum[k] - momentum_mean[:, k, None, None, None]) ** 2 for k in range(3)),
            *(momentum_squares[k] * weight for k in range(3)),
            *(square * factor_squares[k] for k in range(3)),
            *(momentum_squares[k] * factor_squares[k] for k in range(3)),
        ]
    )
    # What varies from row to row only joins when the columns are summed.
    by_row = [factors.by_row[k] ** 2 for k in range(3)]
    sums = [*sums[:12], *(sums[12 + k] * by_row[k % 3] for k in range(6))]
    count = gradient[0].size
    means = jnp.sum(jnp.stack(sums), axis=(2, 3)) / count
    mean_g2, clipped, mean_p2, variance_v, weights, weighted_g2 = means[:6]
    variance_m, weighted_m2, factored_g2, factored_m2 = means[6:].reshape(4, 3, -1)

    by_row, by_column = state.by_row, state.by_column
    row, column = (by_row, by_column) if group.larger_last else (by_column, by_row)
    channels = [
        mean_g2[None],
        clipped[None],
        mean_p2[None],
        variance_m + momentum_mean.T**2,
        (variance_v + second_mean**2)[None],
        weighted_m2,
        weights[None],
        factored_g2,
        weighted_g2[None],
        jnp.mean(row**2, axis=(2, 3)),
        jnp.mean(column**2, axis=(2, 3)),
        jnp.mean(1.0 / (row + 1e-8), axis=(2, 3)),
        jnp.mean(1.0 / (column + 1e-8), axis=(2, 3)),
        factored_m2,
    ]
    return Measured(
        mean_square=mean_p2,
        channel_mean_squares=jnp.concatenate(channels).T,
        statistics=MomentStatistics(
            momentum_mean=momentum_mean,
            momentum_variance=variance_m.T,
            second_mean=second_mean,
            second_variance=variance_v,
        ),
    )


def steps(
    group: MatrixGroup,
    state: MatrixState,
    gradient: Float[Array, "tensor batch rows columns"],
    parameters: Float[Array, "tensor batch rows columns"],
    measured: Measured,
    networks: TensorNetworks,
) -> Float[Array, "tensor batch rows columns"]:
    """Returns what is to be added to the parameters."""
    w0 = normalised_first_layer(networks.w0, measured.channel_mean_squares)
    factors = _factors(group, state)
    inverse_root = jax.lax.rsqrt(state.second + 1e-6)
    both = [
        factors.by_row[k][:, :, :, None] * factors.by_column[k][:, :, None, :] for k in range(3)
    ]
    channels = [
        gradient,
        jnp.clip(gradient, -0.1, 0.1),
        parameters,
        *(state.momentum[k] for k in range(3)),
        state.second,
        *(state.momentum[k] * inverse_root for k in range(3)),
        inverse_root,
        *(gradient * both[k] for k in range(3)),
        gradient * inverse_root,
        *(state.momentum[k] * both[k] for k in range(3)),
    ]
    row, column = (_ROW, _COLUMN) if group.larger_last else (_COLUMN, _ROW)
    of_rows = _rank_one(state.by_row, w0[:, row, :])
    of_columns = _rank_one(state.by_column, w0[:, column, :])
    offsets = [
        networks.b0[:, unit, None, None, None]
        + of_rows[unit][:, :, :, None]
        + of_columns[unit][:, :, None, :]
        for unit in range(WIDTH)
    ]
    return negative_steps(channels, w0[:, _DENSE, :], offsets, networks, measured.mean_square)


def _rank_one(
    means: Float[Array, "3 tensor batch n"], w0: Float[Array, "tensor 6 width"]
) -> list[Float[Array, "tensor batch n"]]:
    """Returns for each unit of the first layer the part that varies along one dimension only."""
    channels = [*means, *jax.lax.rsqrt(means + 1e-8)]
    return [
        sum(
            (x * w0[:, channel, unit, None, None] for channel, x in enumerate(channels)),
            start=jnp.zeros_like(channels[0]),
        )
        for unit in range(WIDTH)
    ]
