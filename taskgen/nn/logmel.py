"""The log-mel front end of the AlgoPerf speech workloads: from samples to 80 numbers a frame.

Frames of 25 ms, one every 10 ms, of sound at 16 kHz; pre-emphasis inside each frame as in HTK, a
periodic Hann window, the power spectrum, 80 triangular filters from 125 to 7,600 Hz on HTK's mel
scale, the logarithm, and the mean and deviation of LibriSpeech.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.taskgen.nn.mel_statistics import MEL_MEAN, MEL_STD
from velodrome.taskgen.nn.sound import (
    FFT,
    FRAME,
    MEL_BINS,
    SAMPLE_RATE,
    SPECTRUM,
    STEP,
    count_frames,
)

_LOWEST_HZ, _HIGHEST_HZ = 125.0, 7600.0
_PREEMPHASIS = 0.97
_FLOOR = 1e-5


def frame_padding(padding: jax.Array) -> jax.Array:
    """Return f32[B,frames], 1 where a frame has no sample of the sound, of f32[B,samples].

    Padding lies at the end, so a frame that starts with padding has nothing else.
    """
    return padding[:, ::STEP][:, : count_frames(padding.shape[1])]


def log_mel(audio: jax.Array) -> jax.Array:
    """Return normalised f32[B,frames,80] of samples f32[B,samples] in [-1, 1)."""
    frames = _emphasised(_frames(audio))
    spectrum = jnp.fft.rfft(frames * _hann()[None, None], FFT)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    mel = power @ jnp.asarray(mel_filters())
    mean, std = jnp.asarray(MEL_MEAN, jnp.float32), jnp.asarray(MEL_STD, jnp.float32)
    return (jnp.log(jnp.maximum(mel, _FLOOR)) - mean[None, None]) / std[None, None]


def _frames(audio: jax.Array) -> jax.Array:
    """Return overlapping f32[B,frames,FRAME], laid out from three shifted copies."""
    batch, samples = audio.shape
    count = count_frames(samples)
    blocks = -(-FRAME // STEP)
    needed = (count + blocks - 1) * STEP
    even = jnp.pad(audio, ((0, 0), (0, max(needed - samples, 0))))[:, :needed]
    even = even.reshape(batch, -1, STEP)
    shifted = [even[:, block : block + count] for block in range(blocks)]
    return jnp.concatenate(shifted, axis=-1)[..., :FRAME]


def _emphasised(frames: jax.Array) -> jax.Array:
    """Subtract most of the sample before; the first sample counts as its own predecessor."""
    before = jnp.concatenate([frames[..., :1], frames[..., :-1]], axis=-1)
    return frames - _PREEMPHASIS * before


def _hann() -> jax.Array:
    return jnp.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME), jnp.float32)


@functools.cache
def mel_filters() -> np.ndarray:
    """Return f32[257,80]: triangles between equally spaced points of the mel scale."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    place = mel(np.linspace(0.0, SAMPLE_RATE / 2, SPECTRUM))[:, None]
    lowest, highest = map(float, mel(np.array([_LOWEST_HZ, _HIGHEST_HZ])))
    edges = np.linspace(lowest, highest, MEL_BINS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (place - lower) / (centre - lower)
    falling = (upper - place) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[0] = 0.0  # the constant part of a frame is not heard
    return filters.astype(np.float32)
