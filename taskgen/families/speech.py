"""What the two speech families share: fields, sizes, and costs of their first and last layers."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.corpus import CorpusMetrics
from velodrome.taskgen.cost.sheet import CostSheet
from velodrome.taskgen.nn import costing
from velodrome.taskgen.nn.sound import FFT, FRAME, MEL_BINS, SPECTRUM, count_frames
from velodrome.taskgen.space.distributions import fixed
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import AudioView

DROPOUT = 0.1  # this and the masks are those of the AlgoPerf workloads
TAPS = 9
"""Of the 3x3 kernels that subsample."""
_CTC_FORWARD, _CTC_BACKWARD = 40, 32
"""FLOPs for each frame and label of CTC's recursion over frames."""

WORD_ERRORS = CorpusMetrics(
    ("word_error_rate", "algoperf_word_error_rate"),
    "velodrome.taskgen.transcription:collect",
    "velodrome.taskgen.transcription:score",
)


@dataclass(frozen=True)
class SpeechConfig(abc.ABC):
    """Fields of both families: sizes of recordings, and what makes training harder.

    Attributes:
      audio_length: Samples, or frames of features; longer recordings are left out.
      label_length: Tokens of a text; recordings with more are left out.
      dropout: Rate, while training; where it acts, the network says.
      time_masks: Stripes of time that are set to 0, while training.
      freq_masks: Stripes of frequency.
    """

    audio_length: int = static(fixed(8_000), allowed=(1, 10_000_000), default=320_000)
    label_length: int = static(fixed(7), allowed=(1, 65_536), default=256)
    dropout: float = static(fixed(DROPOUT), allowed=(0.0, 0.99), default=DROPOUT)
    time_masks: int = static(fixed(10), allowed=(0, 100), default=10)
    freq_masks: int = static(fixed(2), allowed=(0, 100), default=2)

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """The model's width."""


def bins(view: AudioView) -> int:
    """Return how many numbers a frame has."""
    return view.features or MEL_BINS


def frames(view: AudioView) -> int:
    """Return how many frames a recording has before subsampling.

    Raises:
      SpecError: There are too few samples for a frame.
    """
    found = view.length if view.features else count_frames(view.length)
    if found < 1:
        raise SpecError("config.audio_length", view.length, "as many samples as a frame has, 401")
    return found


def subsampled(view: AudioView) -> int:
    """Return how many frames the network gives logits for."""
    return _half(_half(frames(view)))


def _half(size: int) -> int:
    return -(-size // 2)


def stem(sheet: CostSheet, *, rows: int, view: AudioView, width: int) -> None:
    """Add features, masks, two convolutions and the dense layer after them."""
    length, size = frames(view), bins(view)
    if not view.features:
        _front_end(sheet, rows * length)
    channels, gradients = 1, 1
    for _ in range(2):
        padded = rows * (length + 1) * (size + 1) * channels
        length, size = _half(length), _half(size)
        places = rows * length * size
        sheet.dense(places, TAPS * channels, width, gradients=gradients)
        sheet.floats_moved += places * TAPS * channels  # laying out the patches
        if gradients == 2:  # the gradients of overlapping patches are added up
            sheet.elementwise(padded, forward=0, backward=TAPS - 1, saved=0)
        # ReLU, and padding set to 0.
        sheet.elementwise(places * width, forward=2, backward=1)
        channels, gradients = width, 2
    sheet.dense(rows * length, size * width, width)


def _front_end(sheet: CostSheet, count: int) -> None:
    """Add the features of ``count`` frames; the gradient does not go back to the samples."""
    transform = round(2.5 * FFT * math.log2(FFT))
    sheet.elementwise(count, forward=3 * FRAME + transform + 3 * SPECTRUM, backward=0, saved=0)
    sheet.product(count, SPECTRUM, MEL_BINS, gradients=0)
    sheet.elementwise(count * MEL_BINS, forward=4, backward=0)


def masked_batch_norm(sheet: CostSheet, rows: int, size: int) -> None:
    """Add batch normalisation of [rows, size] by the frames that are no padding."""
    sheet.parameters(2 * size)
    # As without a mask, which multiplies three times: before both moments, and the offset.
    sheet.elementwise(rows * size, forward=10, backward=14)


def head(sheet: CostSheet, *, rows: int, view: AudioView, width: int) -> None:
    """Add layer norm, dense and the CTC loss."""
    length = subsampled(view)
    tokens = rows * length
    costing.layer_norm(sheet, tokens, width)
    sheet.dense(tokens, width, view.vocab_size)
    _ctc(sheet, rows=rows, length=length, labels=view.label_length, vocab_size=view.vocab_size)


def _ctc(sheet: CostSheet, *, rows: int, length: int, labels: int, vocab_size: int) -> None:
    """Add the CTC loss of logits [rows, length, vocab_size] for ``labels`` labels a row."""
    tokens = rows * length
    for _ in range(2):  # the softmax is taken twice
        sheet.elementwise(tokens * vocab_size, forward=5, backward=4)
    # The scores of the labels are read off by a product with one-hot labels.
    sheet.product(length, vocab_size, labels, times=rows, gradients=1)
    sheet.elementwise(
        tokens * labels,
        forward=_CTC_FORWARD,
        backward=_CTC_BACKWARD,
        saved=8,
        sequential=length,
    )
