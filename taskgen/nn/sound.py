"""Sizes of the log-mel front end. No jax here: closed-form costs need them."""

from __future__ import annotations

SAMPLE_RATE = 16_000
FRAME, STEP = 400, 160
FFT = 512
SPECTRUM = FFT // 2 + 1
MEL_BINS = 80

_SPAN = FRAME + 1
"""Samples that a frame is read from; pre-emphasis once needed one more than it gave."""


def count_frames(samples: int) -> int:
    """Return how many frames lie wholly inside ``samples`` samples."""
    return (samples - _SPAN) // STEP + 1
