"""Speech recognition by a Conformer with CTC (``librispeech_conformer`` of AlgoPerf).

The network of Gulati et al. 2020 (arXiv 2005.08100) without relative positions. The defaults are
the workload's, with the dropout of its version 0.5: on the input, and on what attention and
feed-forward layers add.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.families import speech
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import AudioView


@dataclass(frozen=True)
class ConformerConfig(speech.SpeechConfig):
    """Config of the family "conformer"; the distributions are this package's.

    Attributes:
      num_blocks: Blocks of feed-forward layers, attention and convolution.
      num_heads: Attention heads.
      head_dim: Numbers of a head; times ``num_heads``, the width of the model.
      hidden_multiple: Width of the feed-forward layers, in widths of the model.
      kernel_size: Frames that the convolution of a block sees.
    """

    num_blocks: int = static(log_int(1, 5), allowed=(1, 64), default=4)
    num_heads: int = static(choice((1, 2, 4, 8)), allowed=(1, 64), default=8)
    head_dim: int = static(log_int(4, 33), allowed=(1, 1024), default=64)
    hidden_multiple: int = static(fixed(4), allowed=(1, 64), default=4)
    kernel_size: int = static(choice((3, 5, 9)), allowed=(1, 255), default=5)

    @property
    def width(self) -> int:
        return self.num_heads * self.head_dim


def cost(config: ConformerConfig, view: AudioView, batch_size: int) -> Cost:
    rows, width = batch_size, config.width
    sheet = CostSheet()
    speech.stem(sheet, rows=rows, view=view, width=width)
    tokens = rows * speech.subsampled(view)
    sheet.elementwise(tokens * width, forward=1, backward=0, saved=0)  # positions
    costing.drop(sheet, tokens * width, config.dropout)
    for _ in range(config.num_blocks):
        _feed_forward(sheet, tokens, config)
        _attention(sheet, rows, speech.subsampled(view), config)
        _convolution(sheet, tokens, config)
        _feed_forward(sheet, tokens, config)
        costing.layer_norm(sheet, tokens, width)
    speech.head(sheet, rows=rows, view=view, width=width)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


def _feed_forward(sheet: CostSheet, tokens: int, config: ConformerConfig) -> None:
    width, hidden = config.width, config.hidden_multiple * config.width
    costing.layer_norm(sheet, tokens, width)
    sheet.dense(tokens, width, hidden)
    costing.activate(sheet, tokens * hidden, "silu")
    sheet.elementwise(tokens * hidden, forward=1, backward=1)  # padding
    sheet.dense(tokens, hidden, width)
    # Padding, half of it, added; gradients meet.
    sheet.elementwise(tokens * width, forward=3, backward=3)
    costing.drop(sheet, tokens * width, config.dropout)


def _attention(sheet: CostSheet, rows: int, length: int, config: ConformerConfig) -> None:
    width, heads, tokens = config.width, config.num_heads, rows * length
    costing.layer_norm(sheet, tokens, width)
    for _ in ("query", "key", "value"):
        sheet.dense(tokens, width, width)
    sheet.parameters(config.head_dim)
    sheet.elementwise(tokens * width, forward=1, backward=3, saved=1)  # scaled queries
    sheet.product(length, config.head_dim, length, times=rows * heads)
    costing.softmax(sheet, rows * heads * length, length)
    sheet.product(length, length, config.head_dim, times=rows * heads)
    sheet.dense(tokens, width, width)
    sheet.elementwise(tokens * width, forward=1, backward=3)  # gradients meet four times
    costing.drop(sheet, tokens * width, config.dropout)


def _convolution(sheet: CostSheet, tokens: int, config: ConformerConfig) -> None:
    width, taps = config.width, config.kernel_size
    costing.layer_norm(sheet, tokens, width)
    for _ in ("value", "gate"):
        sheet.dense(tokens, width, width)
    sheet.elementwise(tokens * width, forward=3, backward=7, saved=3)  # sigmoid, gate, padding
    sheet.parameters(taps * width)
    sheet.elementwise(tokens * width, forward=2 * taps, backward=4 * taps)
    speech.masked_batch_norm(sheet, tokens, width)
    costing.activate(sheet, tokens * width, "silu")
    sheet.dense(tokens, width, width)
    sheet.elementwise(tokens * width, forward=1, backward=2)  # added; gradients meet


family = Family(
    name="conformer",
    config=ConformerConfig,
    network="velodrome.taskgen.families.networks.conformer:Conformer",
    data_kind="audio",
    cost=cost,
    batch_size=log_int(4, 65),
    objective="velodrome.taskgen.nn.ctc:objective",
    corpus_metrics=speech.WORD_ERRORS,
    shrink={
        "audio_length": 8_000,
        "label_length": 7,
        "num_heads": 1,
        "head_dim": 4,
        "batch_size": 2,
        "num_blocks": 1,
    },
)
