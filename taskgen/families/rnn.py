"""Language modelling by a recurrent network (``lm_rnn`` of the published tasks).

In the published code all three cell names built an LSTM; here each name builds its cell. The IRNN
is in the published fixed tasks but not in the sampled ones, so it can be set but is never drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import choices, costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import TextView

CELLS = ("lstm", "vanilla", "gru", "irnn")


@dataclass(frozen=True)
class RNNConfig:
    """Config of the family "rnn"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      cell: The recurrent cell, see :mod:`velodrome.taskgen.families.networks.rnn`.
      rnn_size: Hidden units.
      embed_size: Size of the token embedding.
      sequence_length: Tokens in a training sequence.
      vocab_size: Classes that are predicted; larger tokens are folded into them.
      initializer: Initialises the embedding and the output's kernel; for the embedding,
        "truncated" is a truncated normal of nominal deviation ``init_scale``. The cell's is fixed.
      init_scale: See :data:`velodrome.taskgen.nn.choices.INITIALIZERS`.
      initial_rows: Whether the arrays of the learned initial state have shape (1, units), as in
        the published tasks, instead of (units,): VeLO treats the two in different ways.
    """

    cell: str = static(choice(("lstm", "vanilla", "gru")), allowed=CELLS, default="lstm")
    rnn_size: int = static(log_int(8, 256), allowed=(1, 16_384), default=64)
    embed_size: int = static(log_int(8, 256), allowed=(1, 16_384), default=32)
    sequence_length: int = static(log_int(4, 512), allowed=(1, 16_384), default=32)
    vocab_size: int = static(log_int(100, 10_000), allowed=(2, 1_000_000), default=256)
    initializer: str = choices.initializer_field()
    init_scale: float = choices.init_scale_field()
    initial_rows: bool = static(fixed(False), default=False)


# For each cell: columns of its kernels in units, number of state arrays, biases in units, and
# FLOPs for each unit and time step, forward and backward, besides the products.
_CELL_COSTS = {
    "vanilla": (1, 1, 2, 3, 1),
    "irnn": (1, 1, 2, 3, 1),
    "gru": (3, 1, 3, 11, 21),
    "lstm": (4, 2, 4, 13, 28),
}


def cost(config: RNNConfig, view: TextView, batch_size: int) -> Cost:
    rows = batch_size
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
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="rnn",
    config=RNNConfig,
    network="velodrome.taskgen.families.networks.rnn:RNN",
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
