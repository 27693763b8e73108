"""Fixed codes of places in a sequence."""

from __future__ import annotations

import numpy as np

_TIMESCALE = 10_000.0


def sinusoids(length: int, width: int) -> np.ndarray:
    """Return f32[length,width]: sines in the first half of the channels, then cosines.

    The frequencies go geometrically from 1 to 1/10,000. A channel that is left over is 0.
    """
    count = width // 2
    frequencies = _TIMESCALE ** -(np.arange(count) / max(count - 1, 1))
    angle = np.arange(length)[:, None] * frequencies
    spare = np.zeros((length, width - 2 * count))
    return np.concatenate([np.sin(angle), np.cos(angle), spare], axis=1).astype(np.float32)
