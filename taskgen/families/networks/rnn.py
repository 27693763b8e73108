"""The recurrent network and its cells.

A cell is made by ``(inputs, units, initial=shape, rngs=rngs)``. It has a learned initial state
with arrays of the shape ``initial``; ``project(x)`` does the part that does not depend on the
state, for all times at once, and ``step(state, projected)`` returns the next state. The first
array of the state is the cell's output.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.rnn import RNNConfig
from velodrome.taskgen.functions import Dynamic, Scalar
from velodrome.taskgen.nn.choices import INITIALIZERS
from velodrome.taskgen.nn.initializers import (
    Initializer,
    fan_in_truncated_normal,
    kernel_initializer,
    sampled_initializer,
    scaled_truncated_normal,
    truncated_normal,
)
from velodrome.taskgen.views import TextView

State = tuple[jax.Array, ...]

DEFAULT_INIT = fan_in_truncated_normal()
GRU_INIT = scaled_truncated_normal(1.0)


class Vanilla(nnx.Module):
    """``h' = relu(W_x x + b_x + W_h h + b_h)``."""

    hidden_init = staticmethod(DEFAULT_INIT)

    def __init__(self, inputs: int, units: int, *, initial: tuple[int, ...], rngs: nnx.Rngs):
        self.initial = nnx.Dict(h=nnx.Param(jnp.zeros(initial, jnp.float32)))
        self.input = nnx.Linear(inputs, units, kernel_init=DEFAULT_INIT, rngs=rngs)
        self.hidden = nnx.Linear(units, units, kernel_init=self.hidden_init, rngs=rngs)

    def project(self, x: jax.Array) -> jax.Array:
        return self.input(x)

    def step(self, state: State, projected: jax.Array) -> State:
        return (jax.nn.relu(projected + self.hidden(state[0])),)


class IRNN(Vanilla):
    """The vanilla cell with ``W_h`` the identity at first (Le et al. 2015, 1504.00941)."""

    hidden_init = staticmethod(lambda key, shape, dtype: jnp.eye(shape[0], dtype=dtype))


class GRU(nnx.Module):
    """Gates z, r; ``a = tanh(W_a x + U_a (r h) + b_a)``; ``h' = (1 - z) h + z a``."""

    def __init__(self, inputs: int, units: int, *, initial: tuple[int, ...], rngs: nnx.Rngs):
        self.initial = nnx.Dict(h=nnx.Param(jnp.zeros(initial, jnp.float32)))
        self.input = nnx.Linear(inputs, 3 * units, kernel_init=GRU_INIT, rngs=rngs)
        self.hidden_kernel = nnx.Param(GRU_INIT(rngs.params(), (units, 3 * units)))

    def project(self, x: jax.Array) -> jax.Array:
        return self.input(x)

    def step(self, state: State, projected: jax.Array) -> State:
        (h,) = state
        units, kernel = h.shape[-1], self.hidden_kernel[...]
        gates = jax.nn.sigmoid(projected[:, : 2 * units] + h @ kernel[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        a = jnp.tanh(projected[:, 2 * units :] + (r * h) @ kernel[:, 2 * units :])
        return ((1 - z) * h + z * a,)


class LSTM(nnx.Module):
    """Gates i, g, f, o of one kernel on [x, h]; 1 is added to the forget gate."""

    def __init__(self, inputs: int, units: int, *, initial: tuple[int, ...], rngs: nnx.Rngs):
        zeros = jnp.zeros(initial, jnp.float32)
        self.initial = nnx.Dict(h=nnx.Param(zeros), c=nnx.Param(zeros))
        self.inputs = inputs
        kernel = DEFAULT_INIT(rngs.params(), (inputs + units, 4 * units))
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(jnp.zeros(4 * units, jnp.float32))

    def project(self, x: jax.Array) -> jax.Array:
        return x @ self.kernel[: self.inputs] + self.bias[...][None, None]

    def step(self, state: State, projected: jax.Array) -> State:
        h, c = state
        gates = projected + h @ self.kernel[self.inputs :]
        i, g, f, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c


CELLS = {"vanilla": Vanilla, "irnn": IRNN, "gru": GRU, "lstm": LSTM}


def embedding_initializer(index: Scalar, scale: Scalar) -> Initializer:
    """Return the initialiser of the table: the kernels', except for "truncated".

    A row of the table is looked up, not multiplied, so the published fixed tasks do not divide its
    deviation by the root of the number of rows.
    """
    as_kernel = sampled_initializer(index, scale)
    as_rows = truncated_normal(scale)
    truncated = INITIALIZERS.index("truncated")

    def init(key, shape, dtype=jnp.float32):
        if isinstance(index, int):
            return (as_rows if index == truncated else as_kernel)(key, shape, dtype)
        return jnp.where(
            index == truncated, as_rows(key, shape, dtype), as_kernel(key, shape, dtype)
        )

    return init


class RNN(nnx.Module):
    """Embedding, one recurrent layer with a learned initial state, dense.

    It maps tokens i32[B,T] to logits f32[B,T,vocab].
    """

    def __init__(self, config: RNNConfig, view: TextView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        kernel_init = kernel_initializer(dynamic)
        table_init = embedding_initializer(dynamic["initializer"], dynamic["init_scale"])
        self.embedding = nnx.Param(table_init(rngs.params(), (view.vocab_size, config.embed_size)))
        units = config.rnn_size
        self.cell = CELLS[config.cell](
            config.embed_size,
            units,
            initial=(1, units) if config.initial_rows else (units,),
            rngs=rngs,
        )
        self.output = nnx.Linear(
            config.rnn_size, view.vocab_size, kernel_init=kernel_init, rngs=rngs
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.cell.project(self.embedding[...][tokens.T])  # [T,B,...], as scan wants it
        initial = self.cell.initial
        start = tuple(
            jnp.broadcast_to(initial[name][...], (len(tokens), initial[name].shape[-1]))
            for name in ("h", "c")
            if name in initial
        )

        def step(state: State, projected: jax.Array) -> tuple[State, jax.Array]:
            state = self.cell.step(state, projected)
            return state, state[0]

        # Unrolling was measured on a CPU: 4 steps are no faster than 1, and 16 are slower.
        _, outputs = jax.lax.scan(step, start, x)
        return self.output(outputs.swapaxes(0, 1))
