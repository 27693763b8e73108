"""Speech recognition by LSTMs in both directions with CTC (``librispeech_deepspeech`` of AlgoPerf).

A network like Deep Speech 2 (Amodei et al. 2015, arXiv 1512.02595). The defaults are the
workload's; dropout acts on the input and in the feed-forward blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.families import speech
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import AudioView


@dataclass(frozen=True)
class DeepSpeechConfig(speech.SpeechConfig):
    """Config of the family "deepspeech"; the distributions are this package's.

    Attributes:
      recurrent_blocks: Blocks of LSTMs in both directions.
      feed_forward_blocks: Blocks of a dense layer, after those.
      units: Hidden units of an LSTM; twice that is the width of the model.
    """

    recurrent_blocks: int = static(log_int(1, 5), allowed=(1, 64), default=6)
    feed_forward_blocks: int = static(log_int(1, 4), allowed=(0, 64), default=3)
    units: int = static(log_int(4, 65), allowed=(1, 4096), default=256)

    @property
    def width(self) -> int:
        return 2 * self.units


def cost(config: DeepSpeechConfig, view: AudioView, batch_size: int) -> Cost:
    rows, width = batch_size, config.width
    length = speech.subsampled(view)
    tokens = rows * length
    sheet = CostSheet()
    speech.stem(sheet, rows=rows, view=view, width=width)
    costing.drop(sheet, tokens * width, config.dropout)
    for _ in range(config.recurrent_blocks):
        speech.masked_batch_norm(sheet, tokens, width)
        for _ in range(2):
            _lstm(sheet, rows=rows, length=length, inputs=width, units=config.units)
        # Turned round and back (gradients are added into place), added; gradients meet.
        sheet.elementwise(tokens * width, forward=1, backward=4, saved=0)
    for _ in range(config.feed_forward_blocks):
        speech.masked_batch_norm(sheet, tokens, width)
        sheet.dense(tokens, width, width)
        sheet.elementwise(tokens * width, forward=3, backward=2)  # ReLU, padding, added
        costing.drop(sheet, tokens * width, config.dropout)
    speech.head(sheet, rows=rows, view=view, width=width)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


def _lstm(sheet: CostSheet, *, rows: int, length: int, inputs: int, units: int) -> None:
    tokens, columns = rows * length, 4 * units
    sheet.dense(tokens, inputs, columns)
    sheet.parameters(units * columns)
    sheet.product(rows, units, columns, times=length, sequential=length)
    # Each time step adds its share to the gradient of the recurrent kernel.
    sheet.elementwise(units * columns * length, forward=0, backward=1, saved=0)
    sheet.elementwise(tokens * units, forward=13, backward=28, saved=6, sequential=length)


family = Family(
    name="deepspeech",
    config=DeepSpeechConfig,
    network="velodrome.taskgen.families.networks.deepspeech:DeepSpeech",
    data_kind="audio",
    cost=cost,
    batch_size=log_int(4, 65),
    objective="velodrome.taskgen.nn.ctc:objective",
    corpus_metrics=speech.WORD_ERRORS,
    shrink={
        "audio_length": 8_000,
        "label_length": 7,
        "units": 4,
        "batch_size": 2,
        "recurrent_blocks": 1,
        "feed_forward_blocks": 1,
    },
)
