"""Language modelling by a decoder-only transformer (``lm_transformer`` of the published tasks).

As published, it has no positional encoding (only the causal mask distinguishes positions), and the
width of attention is ``num_heads * key_size`` whatever the model's width is.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import fixed, log_int
from velodrome.taskgen.space.fields import dynamic, static
from velodrome.taskgen.views import TextView

MLP_RATIO = 4


@dataclass(frozen=True)
class TransformerConfig:
    """Config of the family "transformer"; distributions of Metz et al. 2022 (2211.09760).

    The published family has no dynamic choices; ``dropout`` and ``init_scale`` are fixed there,
    and may be set here.

    Attributes:
      d_model_per_head: The model's width, divided by ``num_heads``.
      num_heads: Attention heads.
      key_size: Width of keys, queries and values of a head.
      num_layers: Blocks of attention and MLP.
      sequence_length: Tokens in a training sequence.
      vocab_size: Classes that are predicted; larger tokens are folded into them.
      dropout: Rate, on the outputs of attention and MLP, while training.
      init_scale: The kernels in the blocks have variance ``init_scale / (num_layers * fan_in)``.
    """

    d_model_per_head: int = static(log_int(8, 128), allowed=(1, 4096), default=8)
    num_heads: int = static(log_int(8, 128), allowed=(1, 1024), default=8)
    key_size: int = static(fixed(32), allowed=(1, 1024), default=32)
    num_layers: int = static(log_int(1, 8), allowed=(1, 256), default=2)
    sequence_length: int = static(log_int(4, 512), allowed=(1, 16_384), default=32)
    vocab_size: int = static(log_int(100, 10_000), allowed=(2, 1_000_000), default=256)
    dropout: float = dynamic(fixed(0.1), allowed=(0.0, 0.99), default=0.1)
    init_scale: float = dynamic(fixed(2.0), allowed=(1e-3, 1e3), default=2.0)

    @property
    def d_model(self) -> int:
        return self.num_heads * self.d_model_per_head


def cost(config: TransformerConfig, view: TextView, batch_size: int) -> Cost:
    width, tokens = config.d_model, batch_size * config.sequence_length
    dropped = config.dropout > 0
    sheet = CostSheet()
    costing.embedding(sheet, tokens=tokens, vocab_size=view.vocab_size, size=width)
    for _ in range(config.num_layers):
        costing.attention_block(
            sheet,
            rows=batch_size,
            length=config.sequence_length,
            width=width,
            heads=config.num_heads,
            head_dim=config.key_size,
            hidden=MLP_RATIO * width,
        )
        # Drawing the mask (scaling bits to [0, 1) takes three), and dividing.
        sheet.elementwise(2 * tokens * width, forward=4 * dropped, backward=dropped)
    costing.layer_norm(sheet, tokens, width)
    sheet.dense(tokens, width, view.vocab_size)
    costing.language_model_loss(sheet, tokens, view.vocab_size)
    return sheet.total(batch_size=batch_size, batch_floats=batch_size * view.numbers)


family = Family(
    name="transformer",
    config=TransformerConfig,
    network="velodrome.taskgen.families.networks.transformer:Transformer",
    data_kind="text",
    cost=cost,
    shrink={
        "vocab_size": 100,
        "num_heads": 1,
        "d_model_per_head": 8,
        "batch_size": 4,
        "sequence_length": 8,
        "num_layers": 1,
    },
)
