"""VeLO once more, tensor by tensor and as plainly as its description reads: the oracle.

It shares no code with the product: its own factored dimensions, features and LSTM, no grouping, no
folding, decays on the last axis, every feature a real array. Jitted, it is also the measure that
the product's speed is compared with.

Metz et al. 2022 (arXiv 2211.09760); class ``HyperV2`` of google/learned_optimization.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.optimizers.velo.weights.tree import VeLOWeights

DECAYS = jnp.asarray([0.9, 0.99, 0.999], jnp.float32)
SECOND_DECAY = jnp.asarray([0.999], jnp.float32)
FRACTIONS = jnp.asarray([0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1], jnp.float32)


class TensorState(NamedTuple):
    m: jax.Array
    rms: jax.Array
    v_row: jax.Array
    v_col: jax.Array
    v_diag: jax.Array


class OracleState(NamedTuple):
    iteration: jax.Array
    decays: jax.Array
    means: jax.Array
    running_min: jax.Array
    hidden: jax.Array
    cell: jax.Array
    tensors: tuple[TensorState, ...]


def init(weights: VeLOWeights, params: Any, num_steps: int) -> OracleState:
    leaves = jax.tree.leaves(params)
    halflives = jnp.logspace(1, jnp.log10(num_steps), 10)
    return OracleState(
        iteration=jnp.int32(0),
        decays=jnp.exp(-1.0 / halflives),
        means=jnp.zeros(10),
        running_min=jnp.full(10, 999999999999.0),
        hidden=jnp.tile(weights.initial_hidden[None], (len(leaves), 1)),
        cell=jnp.tile(weights.initial_cell[None], (len(leaves), 1)),
        tensors=tuple(init_tensor(leaf.shape) for leaf in leaves),
    )


def update(
    weights: VeLOWeights, state: OracleState, params: Any, grads: Any, loss: Any, num_steps: int
) -> tuple[Any, OracleState, dict[str, jax.Array]]:
    """Return new parameters, new state, and what went in and out of the LSTM."""
    iteration = state.iteration
    means, running_min, from_loss = loss_features(state, loss)
    p_leaves, structure = jax.tree.flatten(params)
    g_leaves = [jnp.clip(g, -1000.0, 1000.0) for g in jax.tree.leaves(grads)]
    fraction = iteration / jnp.float32(num_steps)
    lstm_in = jnp.stack(
        [
            lstm_features(p, old, fraction, from_loss)
            for p, old in zip(p_leaves, state.tensors, strict=True)
        ]
    )
    controls, lr_mult, hidden, cell = lstm(weights, lstm_in, state.hidden, state.cell)

    new_params, new_tensors = [], []
    for i, (p, g, old) in enumerate(zip(p_leaves, g_leaves, state.tensors, strict=True)):
        new, fac_g = accumulate(old, g)
        layers = [
            100.0 * jnp.mean(bank * controls[i].reshape(-1, *[1] * (bank.ndim - 1)), axis=0)
            for bank in weights[-6:]
        ]
        new_params.append(p - step(layers, lr_mult[i], p, g, new, fac_g))
        new_tensors.append(new)
    new_state = OracleState(
        iteration=iteration + 1,
        decays=state.decays,
        means=means,
        running_min=running_min,
        hidden=hidden,
        cell=cell,
        tensors=tuple(new_tensors),
    )
    seen = {
        "lstm_in": lstm_in,
        "controls": controls,
        "lr_mult": lr_mult,
        "loss_features": from_loss,
    }
    return structure.unflatten(new_params), new_state, seen


def factored_dims(shape: tuple[int, ...]) -> tuple[int, int] | None:
    if len(shape) < 2:
        return None
    by_size = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))
    return by_size[-2], by_size[-1]


def init_tensor(shape: tuple[int, ...]) -> TensorState:
    dims = factored_dims(shape)
    row = col = diag = (0,)
    if dims is None:
        diag = shape
    else:
        row = tuple(size for axis, size in enumerate(shape) if axis != dims[1])
        col = tuple(size for axis, size in enumerate(shape) if axis != dims[0])
    return TensorState(
        m=jnp.zeros((*shape, 3)),
        rms=jnp.zeros((*shape, 1)),
        v_row=jnp.zeros((*row, 3)),
        v_col=jnp.zeros((*col, 3)),
        v_diag=jnp.zeros((*diag, 3)),
    )


def loss_features(state: OracleState, loss: Any):
    decays = state.decays
    debias = 1 - decays ** (state.iteration + 1).astype(jnp.float32)
    largest = jnp.where(state.iteration == 0, loss, jnp.max(state.means / debias))
    loss = jnp.minimum(jnp.abs(largest) * 2, loss)
    means = state.means * decays + loss * (1.0 - decays)
    corrected = means / debias
    running_min = jnp.minimum(state.running_min, corrected)
    low = running_min[:-1]
    ratio = (corrected[:-1] - low) / jnp.maximum(1e-8, corrected[1:] - low)
    features = jnp.clip(ratio - 1.0, -1, 1)
    return means, running_min, jnp.where(state.iteration + 1 <= 2, 0 * features, features)


def lstm_features(p, state: TensorState, fraction, from_loss):
    axes = tuple(range(p.ndim))
    scale = jax.lax.rsqrt(jnp.maximum(1e-9, jnp.mean(p**2)))
    m, rms = state.m * scale, state.rms * scale
    mean_m = jnp.mean(m, axis=axes, keepdims=True)
    mean_rms = jnp.mean(rms, axis=axes)

    def squash(x):
        return jnp.clip(jnp.log(1e-8 + jnp.abs(x * 10.0)), -5, 5) * 0.5

    rank = sum(size > 1 for size in p.shape)
    return jnp.concatenate(
        [
            jnp.tanh((fraction - FRACTIONS) * 10),
            from_loss,
            squash(mean_rms),
            jax.nn.one_hot(rank, 5),
            squash(jnp.mean(jnp.square(m - mean_m), axis=axes)),
            squash(jnp.mean(jnp.square(rms - mean_m), axis=axes)),
        ]
    )


def lstm(weights: VeLOWeights, x, hidden, cell):
    pooled = jnp.max(jax.nn.relu(x @ weights.pool_w + weights.pool_b[None]), axis=0)
    x = x @ weights.project_w + weights.project_b[None] + pooled[None]
    gates = jnp.concatenate([x, hidden], axis=1) @ weights.lstm_w + weights.lstm_b[None]
    i, g, f, o = jnp.split(gates, 4, axis=1)
    cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    controls = hidden @ weights.controls_w + weights.controls_b[None]
    lr_mult = (hidden @ weights.step_size_w + weights.step_size_b[None])[:, 0]
    return controls, lr_mult, hidden, cell


def accumulate(state: TensorState, g):
    def average(decays, old, new):
        decays = decays.reshape((1,) * (old.ndim - 1) + (-1,))
        return decays * old + (1 - decays) * new[..., None]

    def safe_rsqrt(x):
        return jax.lax.rsqrt(jnp.maximum(x, 1e-9))

    m = average(DECAYS, state.m, g)
    rms = average(SECOND_DECAY, state.rms, g * g)
    square = g * g + 1e-30
    dims = factored_dims(g.shape)
    if dims is None:
        v_diag = average(DECAYS, state.v_diag, square)
        fac_g = g[..., None] * safe_rsqrt(v_diag + 1e-9)
        return TensorState(m, rms, state.v_row, state.v_col, v_diag), fac_g
    v_row = average(DECAYS, state.v_row, jnp.mean(square, axis=dims[1]))
    v_col = average(DECAYS, state.v_col, jnp.mean(square, axis=dims[0]))
    row_factor, col_factor = factors(v_row, v_col, dims)
    fac_g = g[..., None] * row_factor * col_factor
    return TensorState(m, rms, v_row, v_col, state.v_diag), fac_g


def factors(v_row, v_col, dims):
    d1, d0 = dims
    reduced_d1 = d1 - 1 if d1 > d0 else d1
    relative = v_row / (jnp.mean(v_row, axis=reduced_d1, keepdims=True) + 1e-9)
    row_factor = jax.lax.rsqrt(jnp.maximum(relative, 1e-9))
    col_factor = jax.lax.rsqrt(jnp.maximum(v_col, 1e-9))
    return jnp.expand_dims(row_factor, d0), jnp.expand_dims(col_factor, d1)


def step(layers, lr_mult, p, g, state: TensorState, fac_g):
    w0, b0, w1, b1, w2, b2 = layers
    m, rms = state.m, state.rms
    rsqrt = jax.lax.rsqrt(rms + 1e-6)
    dims = factored_dims(g.shape)
    if dims is None:
        row = col = state.v_diag
        fac_mom = m * state.v_diag**-0.5
    else:
        row = jnp.broadcast_to(jnp.expand_dims(state.v_row, dims[1]), m.shape)
        col = jnp.broadcast_to(jnp.expand_dims(state.v_col, dims[0]), m.shape)
        row_factor, col_factor = factors(state.v_row, state.v_col, dims)
        fac_mom = m * row_factor * col_factor
    inputs = [
        g[..., None],
        jnp.clip(g, -0.1, 0.1)[..., None],
        p[..., None],
        m,
        rms,
        m * rsqrt,
        rsqrt,
        fac_g,
        g[..., None] * rsqrt,
        row,
        col,
        jax.lax.rsqrt(row + 1e-8),
        jax.lax.rsqrt(col + 1e-8),
        fac_mom,
    ]
    axes = tuple(range(g.ndim))
    total, start = jnp.zeros((*g.shape, 4)), 0
    for x in inputs:
        normalised = x * jax.lax.rsqrt(1e-5 + jnp.mean(jnp.square(x), axis=axes, keepdims=True))
        total = total + normalised @ w0[start : start + x.shape[-1]]
        start += x.shape[-1]
    hidden = jax.nn.relu(total + _bias(b0, total))
    hidden = hidden @ w1
    hidden = jax.nn.relu(hidden + _bias(b1, hidden))
    out = hidden @ w2
    out = out + _bias(b2, out)
    size = jnp.sqrt(jnp.mean(jnp.square(p)) + 1e-9) * jnp.exp(out[..., 1] * 0.001)
    return lr_mult * out[..., 0] * size * 0.001


def _bias(bias, like):
    return jnp.broadcast_to(bias, like.shape) if like.ndim > 1 else bias


def jitted(weights: VeLOWeights, num_steps: int):
    """Return ``(params, state, grads, loss) -> (params, state)``, compiled."""

    @jax.jit
    def run(params, state, grads, loss):
        return update(weights, state, params, grads, loss, num_steps)[:2]

    return run


def rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))
