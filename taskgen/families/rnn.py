"""Language modelling by a recurrent network (``lm_rnn`` of the published tasks).

In the published code all three cell names built an LSTM. Here each name is its cell. The IRNN is
in the published fixed tasks but not in the sampled ones, so it can be set but is never drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.nn import costing, initializers
from velodrome.taskgen.space.config import choice, fixed, log_int, static
from velodrome.taskgen.spec import TaskSpec

CELLS = ("lstm", "vanilla", "gru", "irnn")


@dataclass(frozen=True)
class RNNConfig:
    """Config of the family "rnn"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      cell: The recurrent cell, see :func:`cells`.
      rnn_size: Hidden units.
      embed_size: Size of the token embedding.
      sequence_length: Tokens in a training sequence.
      vocab_size: Classes that are predicted; tokens beyond are folded into them.
      initializer: Of the embedding and of the output's kernel; of the embedding, "truncated" is a
        truncated normal of nominal deviation ``init_scale``. The cell's is fixed.
      init_scale: See :data:`velodrome.taskgen.nn.initializers.NAMES`.
      initial_rows: Whether the arrays of the learned initial state are of shape (1, units), as in
        the published tasks, and not (units,): VeLO treats the two in different ways.
    """

    cell: str = static(choice(("lstm", "vanilla", "gru")), allowed=CELLS, default="lstm")
    rnn_size: int = static(log_int(8, 256), allowed=(1, 16_384), default=64)
    embed_size: int = static(log_int(8, 256), allowed=(1, 16_384), default=32)
    sequence_length: int = static(log_int(4, 512), allowed=(1, 16_384), default=32)
    vocab_size: int = static(log_int(100, 10_000), allowed=(2, 1_000_000), default=256)
    initializer: str = initializers.initializer_field()
    init_scale: float = initializers.init_scale_field()
    initial_rows: bool = static(fixed(False), default=False)


@deferred
def cell() -> Any:
    """Defines the cells.

    A cell is made by ``(inputs, units, initial=(units,), rngs=rngs)``. It has a learned initial
    state, with arrays of the shape ``initial``, ``project(x)`` for the part that does not depend
    on the state, done for all times at once, and ``step(state, projected) -> state``; the first
    array of the state is its output.
    """
    import jax
    import jax.numpy as jnp
    from flax import nnx

    default_init = initializers.fan_in_truncated_normal()
    gru_init = initializers.scaled_truncated_normal(1.0)

    class Vanilla(nnx.Module):
        """``h' = relu(W_x x + b_x + W_h h + b_h)``."""

        hidden_init = staticmethod(default_init)

        def __init__(self, inputs, units, *, initial, rngs):
            self.initial = nnx.Dict(h=nnx.Param(jnp.zeros(initial)))
            self.input = nnx.Linear(inputs, units, kernel_init=default_init, rngs=rngs)
            self.hidden = nnx.Linear(units, units, kernel_init=self.hidden_init, rngs=rngs)

        def project(self, x):
            return self.input(x)

        def step(self, state, projected):
            return (jax.nn.relu(projected + self.hidden(state[0])),)

    class IRNN(Vanilla):
        """The vanilla cell with ``W_h`` the identity at first (Le et al. 2015, 1504.00941)."""

        hidden_init = staticmethod(lambda key, shape, dtype: jnp.eye(shape[0], dtype=dtype))

    class GRU(nnx.Module):
        """Gates z, r; ``a = tanh(W_a x + U_a (r h) + b_a)``; ``h' = (1 - z) h + z a``."""

        def __init__(self, inputs, units, *, initial, rngs):
            self.initial = nnx.Dict(h=nnx.Param(jnp.zeros(initial)))
            self.input = nnx.Linear(inputs, 3 * units, kernel_init=gru_init, rngs=rngs)
            self.hidden_kernel = nnx.Param(gru_init(rngs.params(), (units, 3 * units)))

        def project(self, x):
            return self.input(x)

        def step(self, state, projected):
            (h,) = state
            units, kernel = h.shape[-1], self.hidden_kernel[...]
            gates = jax.nn.sigmoid(projected[:, : 2 * units] + h @ kernel[:, : 2 * units])
            z, r = gates[:, :units], gates[:, units:]
            a = jnp.tanh(projected[:, 2 * units :] + (r * h) @ kernel[:, 2 * units :])
            return ((1 - z) * h + z * a,)

    class LSTM(nnx.Module):
        """Gates i, g, f, o of one kernel on [x, h]; 1 is added to the forget gate."""

        def __init__(self, inputs, units, *, initial, rngs):
            zeros = jnp.zeros(initial)
            self.initial = nnx.Dict(h=nnx.Param(zeros), c=nnx.Param(zeros))
            self.inputs = inputs
            kernel = default_init(rngs.params(), (inputs + units, 4 * units))
            self.kernel = nnx.Param(kernel)
            self.bias = nnx.Param(jnp.zeros(4 * units))

        def project(self, x):
            return x @ self.kernel[: self.inputs] + self.bias[...][None, None]

        def step(self, state, projected):
            h, c = state
            gates = projected + h @ self.kernel[self.inputs :]
            i, g, f, o = jnp.split(gates, 4, axis=-1)
            c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return jax.nn.sigmoid(o) * jnp.tanh(c), c

    classes = {"vanilla": Vanilla, "irnn": IRNN, "gru": GRU, "lstm": LSTM}
    return lambda name, *args, **kwargs: classes[name](*args, **kwargs)


def embedding_initializer(index: Any, scale: Any) -> Any:
    """Returns the initialiser of the table: the kernels', except for "truncated".

    A row of the table is looked up, not multiplied by, so the published fixed tasks do not divide
    its deviation by the root of the number of rows.
    """
    import jax.numpy as jnp  # here, so that sampling needs no jax

    as_kernel = initializers.sampled_initializer(index, scale)
    as_rows = initializers.truncated_normal(scale)
    truncated = initializers.NAMES.index("truncated")

    def init(key: Any, shape: tuple[int, ...]) -> Any:
        if isinstance(index, int):
            return (as_rows if index == truncated else as_kernel)(key, shape)
        return jnp.where(index == truncated, as_rows(key, shape), as_kernel(key, shape))

    return init


@deferred
def network() -> type:
    """Defines the network: tokens i32[B,T] to logits f32[B,T,vocab]."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    class RNN(nnx.Module):
        """Embedding, one recurrent layer with a learned initial state, dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            kernel_init = initializers.kernel_initializer(dynamic)
            table_init = embedding_initializer(dynamic["initializer"], dynamic["init_scale"])
            self.embedding = nnx.Param(
                table_init(rngs.params(), (view.vocab_size, config.embed_size))
            )
            units = config.rnn_size
            self.cell = cell(
                config.cell,
                config.embed_size,
                units,
                initial=(1, units) if config.initial_rows else (units,),
                rngs=rngs,
            )
            self.output = nnx.Linear(
                config.rnn_size, view.vocab_size, kernel_init=kernel_init, rngs=rngs
            )

        def __call__(self, tokens):
            x = self.cell.project(self.embedding[...][tokens.T])  # [T,B,...], as scan wants it
            initial = self.cell.initial
            start = tuple(
                jnp.broadcast_to(initial[name][...], (len(tokens), initial[name].shape[-1]))
                for name in ("h", "c")
                if name in initial
            )

            def step(state, projected):
                state = self.cell.step(state, projected)
                return state, state[0]

            # Unrolling was measured on a CPU: 4 steps are no faster than 1, and 16 are slower.
            _, outputs = jax.lax.scan(step, start, x)
            return self.output(outputs.swapaxes(0, 1))

    return RNN


# For each cell: columns of its kernels in units, number of state arrays, biases in units, and
# FLOPs for each unit and time step, forward and backward, besides the products.
_CELL_COSTS = {
    "vanilla": (1, 1, 2, 3, 1),
    "irnn": (1, 1, 2, 3, 1),
    "gru": (3, 1, 3, 11, 21),
    "lstm": (4, 2, 4, 13, 28),
}


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    units, embed, length = config.rnn_size, config.embed_size, config.sequence_length
    blocks, states, biases, forward, backward = _CELL_COSTS[config.cell]
    tokens, columns = rows * length, blocks * units
    sheet = CostSheet()
    costing.embedding(sheet, tokens=tokens, vocab_size=view.vocab_size, size=embed)
    sheet.parameters((embed + units) * columns + biases * units + states * units)
    sheet.product(tokens, embed, columns)
    sheet.elementwise(tokens * columns, forward=1, backward=1, saved=1)  # bias
    sheet.product(rows, units, columns, times=length, sequential=length)
    # Each time step adds its share to the gradient of the recurrent kernel.
    sheet.elementwise(units * columns * length, forward=0, backward=1, saved=0)
    sheet.elementwise(
        tokens * units,
        forward=forward,
        backward=backward,
        saved=states + blocks,
        sequential=length,
    )
    sheet.dense(tokens, units, view.vocab_size)
    costing.language_model_loss(sheet, tokens, view.vocab_size)
    return sheet.total(batch_size=rows, batch_floats=2 * tokens)


family = Family(
    name="rnn",
    config=RNNConfig,
    network=network,
    data_kind="text",
    cost=cost,
    shrink={
        "vocab_size": 100,
        "rnn_size": 8,
        "embed_size": 8,
        "batch_size": 4,
        "sequence_length": 8,
    },
)
