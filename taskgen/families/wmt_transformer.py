"""Translation by an encoder-decoder transformer (the workload ``wmt`` of MLCommons AlgoPerf).

Source, target and output share one embedding (Vaswani et al. 2017, arXiv 1706.03762), the norm
comes first in each block, attention has no biases, and logits are divided by the root of the
width. The defaults are the workload's: 133,521,408 parameters with the 32,000 tokens of its data.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.corpus import CorpusMetrics
from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import PairView


@dataclass(frozen=True)
class WMTTransformerConfig:
    """Config of the family "wmt_transformer"; the distributions are ours.

    Attributes:
      num_layers: Blocks of the encoder, and of the decoder.
      num_heads: Attention heads.
      head_dim: Width of keys, queries and values of a head; ``num_heads`` times this is the width
        of the model.
      mlp_dim: Width of the MLPs' hidden layers.
      source_length: Tokens that a source is padded to; longer pairs are left out.
      target_length: Tokens that a target is padded to; likewise.
      dropout: Rate, while training, on embeddings, outputs of attention, and hidden layers and
        outputs of MLPs; weights of attention are not dropped.
      label_smoothing: The part of a label that is spread over all tokens, while training.
      packed: While training, several pairs share a row: consecutive ones of the data set, as long
        as they fit. The workload does this.
    """

    num_layers: int = static(log_int(1, 5), allowed=(1, 256), default=6)
    num_heads: int = static(log_int(1, 9), allowed=(1, 256), default=16)
    head_dim: int = static(choice((8, 16, 32, 64)), allowed=(1, 1024), default=64)
    mlp_dim: int = static(log_int(32, 512), allowed=(1, 65_536), default=1024)
    source_length: int = static(log_int(16, 128), allowed=(1, 4096), default=256)
    target_length: int = static(log_int(16, 128), allowed=(1, 4096), default=256)
    dropout: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.1)
    label_smoothing: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)
    packed: bool = static(fixed(False), default=False)

    @property
    def hidden_size(self) -> int:
        """The model's width."""
        return self.num_heads * self.head_dim


def cost(config: WMTTransformerConfig, view: PairView, batch_size: int) -> Cost:
    rows, width, heads = batch_size, config.hidden_size, config.num_heads
    source, target = rows * view.source_length, rows * view.target_length
    sheet = CostSheet()

    def drop(size: int) -> None:
        costing.drop(sheet, size, config.dropout)

    def embed(tokens: int) -> None:
        sheet.elementwise(tokens * width, forward=1, backward=1, saved=0)  # positions; the gradient
        sheet.floats_moved += view.vocab_size * width  # of the table is dense
        drop(tokens * width)

    def attend(queries: int, keys: int) -> None:
        """Add attention of sequences of ``queries`` tokens to some of ``keys``, and the sum."""
        sheet.parameters(4 * width * width)
        for tokens in (queries, keys, keys, queries):
            sheet.product(rows * tokens, width, width)
        size = rows * queries * width
        sheet.elementwise(size, forward=1, backward=1, saved=0)  # scaled queries
        sheet.product(queries, config.head_dim, keys, times=rows * heads)
        costing.softmax(sheet, rows * heads * queries, keys)
        sheet.product(queries, keys, config.head_dim, times=rows * heads)
        drop(size)
        sheet.elementwise(size, forward=1, backward=1)
        sheet.elementwise(rows * keys * width, forward=0, backward=2, saved=0)  # gradients meet

    def feed(tokens: int) -> None:
        """Add an MLP after a layer norm, and the sum."""
        costing.layer_norm(sheet, tokens, width)
        sheet.dense(tokens, width, config.mlp_dim)
        costing.activate(sheet, tokens * config.mlp_dim, "relu")
        drop(tokens * config.mlp_dim)
        sheet.dense(tokens, config.mlp_dim, width)
        drop(tokens * width)
        sheet.elementwise(tokens * width, forward=1, backward=1)

    sheet.parameters(view.vocab_size * width)
    embed(source)
    for _ in range(config.num_layers):
        costing.layer_norm(sheet, source, width)
        attend(view.source_length, view.source_length)
        feed(source)
    costing.layer_norm(sheet, source, width)
    embed(target)
    for _ in range(config.num_layers):
        costing.layer_norm(sheet, target, width)
        attend(view.target_length, view.target_length)
        costing.layer_norm(sheet, target, width)
        attend(view.target_length, view.source_length)
        feed(target)
    costing.layer_norm(sheet, target, width)
    sheet.product(target, width, view.vocab_size)
    sheet.elementwise(target * view.vocab_size, forward=1, backward=1, saved=0)  # by the root
    # The gradients of the three uses of the table meet.
    sheet.elementwise(view.vocab_size * width, forward=0, backward=2, saved=0)
    costing.smoothed_cross_entropy(sheet, target, view.vocab_size, config.label_smoothing)
    sheet.elementwise(target, forward=2, backward=1, saved=1)  # masking and counting
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="wmt_transformer",
    config=WMTTransformerConfig,
    network="velodrome.taskgen.families.networks.wmt_transformer:WMTTransformer",
    data_kind="pair",
    batch_size=log_int(4, 128),
    cost=cost,
    objective="velodrome.taskgen.nn.objectives:smoothed_sequence",
    corpus_metrics=CorpusMetrics(
        ("bleu",),
        collect="velodrome.taskgen.translation:collect",
        score="velodrome.taskgen.translation:score",
        check="velodrome.taskgen.translation:check_bleu",
    ),
    shrink={
        "num_heads": 1,
        "head_dim": 8,
        "mlp_dim": 32,
        "source_length": 16,
        "target_length": 16,
        "batch_size": 4,
        "num_layers": 1,
    },
)
