"""rnn-mlp: an LSTM for each tensor and a network for each parameter, which tell each other.

It is the "RNN MLP" of Metz et al. (2020, arXiv 2009.11243) and of the figures of the VeLO paper, as
Moudgil et al. (2025, arXiv 2501.12670) trained it. Semantics: ``celo/optimizers/rnn_mlp_lopt.py``
of amoudgl/celo, commit 66d9761, without its calls on validation data.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.learned.adafac_mlp import TIMES
from velodrome.optimizers.learned.rule import check_states, initial_states
from velodrome.optimizers.learned.stacks import Stack, make_stacks
from velodrome.optimizers.learned.weights.trees import RNNMLPWeights
from velodrome.optimizers.velo.barrier import same_in_all_lanes
from velodrome.optimizers.velo.controller import LSTMState, as_constants
from velodrome.optimizers.velo.door import checked

_DECAYS = np.asarray((0.5, 0.9, 0.99, 0.999, 0.9999), np.float32)
_LOSS_DECAY = 0.9
_BOUND_DECAY = 0.99

# Gradients are clipped at this multiple of their usual size.
_BOUND = 10.0

# The step is scaled by the exponential of the second output, and by itself, each times this.
_OUTPUT_SCALE = 0.001


class Averages(NamedTuple):
    """Averages of a tensor's gradients and of their squares."""

    momentum: Float[Array, " ..."]
    second: Float[Array, " ..."]


class Tracked(NamedTuple):
    """What is known of the loss, and of the size of gradients."""

    loss_mean: Float[Array, ""]
    loss_variance: Float[Array, ""]
    gradient_size: Float[Array, ""]


class RNNMLPState(NamedTuple):
    """State of rnn-mlp; rows of tensors are in the order of the stacks."""

    iteration: Int[Array, ""]
    tracked: Tracked
    lstm: LSTMState
    from_lstm: Float[Array, " from_lstm"]
    from_mlp: Float[Array, "tensor from_mlp"]
    stacks: tuple[Averages, ...] | PyTree


def rnn_mlp(*, weights: RNNMLPWeights) -> optax.GradientTransformationExtraArgs:
    """Return rnn-mlp; its ``update`` needs the parameters and the training loss."""
    theta = as_constants(weights)

    def init(params: PyTree) -> RNNMLPState:
        leaves = jax.tree.leaves(params)
        stacks = make_stacks([leaf.shape for leaf in leaves])
        tensors = _count(stacks)

        def rows(x: Array) -> Array:
            return jnp.tile(x[None], (tensors, 1))

        states = tuple(initial_states(stack, _init_averages) for stack in stacks)
        return RNNMLPState(
            iteration=jnp.zeros((), jnp.int32),
            tracked=Tracked(jnp.float32(0), jnp.float32(0), jnp.float32(1 - _BOUND_DECAY)),
            lstm=LSTMState(rows(theta.initial_hidden), rows(theta.initial_cell)),
            from_lstm=theta.initial_from_lstm,
            from_mlp=rows(theta.initial_from_mlp),
            # With a tree that has no leaves, `optax.tree_map_params` looks for the place of what
            # belongs to parameters.
            stacks=states if leaves else params,
        )

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value: ArrayLike | None = None,
        **unused: object,
    ) -> tuple[PyTree, RNNMLPState]:
        del unused
        parameters, structure = jax.tree.flatten(params)
        given = structure.flatten_up_to(updates)
        stacks = make_stacks([leaf.shape for leaf in parameters])
        if not stacks:
            return jax.tree.map(jnp.zeros_like, params), state
        check_states(state, RNNMLPState, stacks, _init_averages)
        tensors = _count(stacks)
        count = state.iteration.astype(jnp.float32)

        tracked, loss_inputs = _track_loss(state.tracked, jnp.asarray(value, jnp.float32), count)
        bound = _BOUND * tracked.gradient_size / (1.0 - _BOUND_DECAY ** (count + 1.0))

        def pick(stack: Stack) -> tuple[Array, Array]:
            return jnp.clip(stack.pick(given), -bound, bound), stack.pick(parameters)

        inputs, squares, new = [], jnp.float32(0), []
        for stack, old in zip(stacks, state.stacks, strict=True):
            gradients, own = pick(stack)
            squares += jnp.sum(jnp.mean(_flat(gradients) ** 2, axis=-1))
            averages = _accumulate(old, gradients)
            new.append(averages)
            inputs.append(_tensor_inputs(stack, averages, gradients, own))
        size = jnp.sqrt(1e-8 + squares / tensors)
        tracked = tracked._replace(
            gradient_size=_BOUND_DECAY * tracked.gradient_size + (1.0 - _BOUND_DECAY) * size
        )

        def rows(x: Array) -> Array:
            return jnp.broadcast_to(x[None], (tensors, *x.shape))

        seen = jnp.concatenate(inputs)
        before, variances = seen[:, :_BEFORE_LOSS], seen[:, _BEFORE_LOSS:]
        parts = [rows(state.from_lstm), state.from_mlp, before, rows(loss_inputs), variances]
        lstm = _advance(theta, jnp.concatenate(parts, axis=1), state.lstm)
        to_networks = _matmul(lstm.hidden, theta.to_ff_w) + theta.to_ff_b[None]
        from_lstm = jnp.mean(_matmul(lstm.hidden, theta.to_in_w) + theta.to_in_b[None], axis=0)

        changes = [jnp.zeros_like(leaf) for leaf in parameters]  # of those without elements
        always = same_in_all_lanes(state.iteration >= 0)
        from_mlp, row = [], 0
        for stack, averages in zip(stacks, new, strict=True):
            conditions = to_networks[row : row + len(stack.members)]
            row += len(stack.members)

            def steps(
                stack: Stack = stack, averages: Averages = averages, conditions: Array = conditions
            ) -> tuple[Array, Array]:
                gradients, own = pick(stack)
                outputs = jax.vmap(_outputs, in_axes=(None, 0, 0, 0, 0, None, None))(
                    theta, averages, gradients, own, conditions, count, tensors
                )
                return _steps(stack, outputs), jnp.mean(outputs[:, 2:], axis=-1)

            parts, told = stack.apart(always, steps)
            from_mlp.append(told)
            for position, change in zip(stack.members, parts, strict=True):
                changes[position] = change.astype(parameters[position].dtype)
        return structure.unflatten(changes), RNNMLPState(
            iteration=state.iteration + 1,
            tracked=tracked,
            lstm=lstm,
            from_lstm=from_lstm,
            from_mlp=jnp.concatenate(from_mlp),
            stacks=tuple(new),
        )

    return checked(optax.GradientTransformationExtraArgs(init, update), "rnn-mlp")


def _track_loss(
    old: Tracked, loss: Float[Array, ""], count: Float[Array, ""]
) -> tuple[Tracked, Float[Array, " 2"]]:
    """Return the averages with one more loss, and two inputs of the LSTM.

    They are how far the loss, and the mean loss on validation data, are from the mean loss. The
    latter is 0 here, as in the original without validation data.
    """
    mean = _LOSS_DECAY * old.loss_mean + (1.0 - _LOSS_DECAY) * loss
    variance = _LOSS_DECAY * old.loss_variance + (1.0 - _LOSS_DECAY) * (mean - loss) ** 2
    correction = 1.0 / (1.0 - _LOSS_DECAY ** (count + 1.0) + 1e-8)
    both = jnp.stack([loss, jnp.zeros_like(loss)])
    distance = (both - mean * correction) * jax.lax.rsqrt(variance * correction + 1e-8)
    return old._replace(loss_mean=mean, loss_variance=variance), jnp.clip(distance, -5.0, 5.0)


def _init_averages(shape: tuple[int, ...]) -> Averages:
    zeros = jnp.zeros((len(_DECAYS), *shape), jnp.float32)
    return Averages(zeros, zeros)


def _accumulate(old: Averages, gradients: Float[Array, "member ..."]) -> Averages:
    decays = jnp.asarray(_DECAYS.reshape((1, -1) + (1,) * (gradients.ndim - 1)))

    def average(kept: Array, x: Array) -> Array:
        return decays * kept + (1.0 - decays) * x[:, None]

    return Averages(average(old.momentum, gradients), average(old.second, gradients**2))


#: Inputs of the LSTM about a tensor that come before those about the loss.
_BEFORE_LOSS = 13


def _tensor_inputs(
    stack: Stack,
    averages: Averages,
    gradients: Float[Array, "member ..."],
    parameters: Float[Array, "member ..."],
) -> Float[Array, "member 16"]:
    """Return the inputs of the LSTM about each tensor, in the order of their published names."""
    means, variances = {}, {}
    for name, x in (("m", averages.momentum), ("v", averages.second), ("p", parameters)):
        flat = _flat(x)
        means[name] = jnp.mean(flat, axis=1)
        variances[name] = _log_size(jnp.mean((flat - means[name][:, None]) ** 2, axis=1))
    norms = [_log_size(jnp.sqrt(jnp.sum(_flat(x) ** 2, axis=1))) for x in (gradients, parameters)]
    shape = np.log(np.asarray((*stack.shape, 1, 1, 1, 1)[:4], np.float32)) - np.float32(1)
    is_scalar = np.float32(1.0 if stack.shape == () else -1.0)
    constants = [jnp.full_like(norms[0], number) for number in (is_scalar, *shape)]
    columns = [
        norms[0],
        constants[0],
        *(f(means[name]) for name in "mvp" for f in (_log_size, jnp.sign)),
        norms[1],
        *constants[1:],
        variances["m"],
        variances["v"],
        variances["p"],
    ]
    return jnp.stack(columns, axis=1)


def _advance(theta: RNNMLPWeights, inputs: Float[Array, "tensor _"], state: LSTMState) -> LSTMState:
    both = jnp.concatenate([inputs, state.hidden], axis=1)
    gates = _matmul(both, theta.lstm_w) + theta.lstm_b[None]
    write, candidate, forget, read = jnp.split(gates, 4, axis=-1)
    cell = jax.nn.sigmoid(forget + 1.0) * state.cell + jax.nn.sigmoid(write) * jnp.tanh(candidate)
    return LSTMState(jax.nn.sigmoid(read) * jnp.tanh(cell), cell)


def _outputs(
    theta: RNNMLPWeights,
    averages: Averages,
    gradient: Float[Array, " ..."],
    parameters: Float[Array, " ..."],
    conditions: Float[Array, " to_ff"],
    count: Float[Array, ""],
    tensors: int,
) -> Float[Array, "output element"]:
    """Return direction, magnitude, and what the LSTM is told, for each element of one tensor."""
    flat = parameters.reshape(1, -1)
    momentum, second = (x.reshape(len(_DECAYS), -1) for x in averages)
    inverse_root = jax.lax.rsqrt(second + 1e-6)
    log_size = jnp.log(jnp.abs(flat) + 1e-8)
    varied = jnp.concatenate(
        [gradient.reshape(1, -1), flat, log_size, momentum, second, momentum * inverse_root]
        + [inverse_root]
    )
    # What is the same for all elements is a part of the bias.
    norm = jnp.log(jnp.sqrt(jnp.sum(flat**2)) + 1e-8)
    constants = jnp.asarray([math.log(tensors) - 1.0, math.log(flat.size)], jnp.float32)
    shared = jnp.concatenate(
        [
            jnp.sin(count / np.asarray([time * math.pi for time in TIMES], np.float32)),
            jnp.stack([constants[0], norm, constants[1]]),
            conditions,
        ]
    )
    start = varied.shape[0]
    bias = theta.b0 + _matmul(shared[None], theta.w0[start:])[0]
    layers = ((theta.w0[:start], bias), (theta.w1, theta.b1), (theta.w2, theta.b2))
    x = varied * jax.lax.rsqrt(1e-5 + jnp.mean(varied**2, axis=1, keepdims=True))
    for number, (w, b) in enumerate(layers):
        x = _matmul(w.T, x if number == 0 else jax.nn.relu(x)) + b[:, None]
    return x


def _steps(
    stack: Stack, outputs: Float[Array, "member output element"]
) -> Float[Array, "member ..."]:
    changes = -_OUTPUT_SCALE * outputs[:, 0] * jnp.exp(_OUTPUT_SCALE * outputs[:, 1])
    return changes.reshape(len(stack.members), *stack.shape)


def _count(stacks: tuple[Stack, ...]) -> int:
    return sum(len(stack.members) for stack in stacks)


def _flat(x: Array) -> Float[Array, "member _"]:
    return x.reshape(x.shape[0], -1)


def _log_size(x: Array) -> Array:
    return jnp.clip(jnp.log(1e-8 + jnp.abs(x)), -5.0, 5.0)


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
