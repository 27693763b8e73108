"""What speech networks are made of, against slow and plain forms of it."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import velodrome
from velodrome.taskgen.cost.tracing import count_program
from velodrome.taskgen.data.standin import tones
from velodrome.taskgen.families import speech
from velodrome.taskgen.nn import ctc
from velodrome.taskgen.nn.logmel import frame_padding, log_mel
from velodrome.taskgen.nn.masked import LayerNorm, MaskedBatchNorm
from velodrome.taskgen.nn.mel_statistics import MEL_MEAN, MEL_STD
from velodrome.taskgen.nn.sound import count_frames
from velodrome.taskgen.nn.specaugment import spec_augment
from velodrome.taskgen.views import AudioView


def slow_log_mel(audio: np.ndarray) -> np.ndarray:
    """Return features of one recording, a frame and a filter at a time, in 64 bits."""

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(125), mel(7600), 82)
    found = []
    for start in range(0, len(audio) - 400, 160):
        frame = audio[start : start + 401]
        emphasised = [frame[0] * 0.03, *(frame[1:400] - 0.97 * frame[:399])]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
        power = np.abs(np.fft.fft(np.concatenate([emphasised * window, np.zeros(112)]))[:257]) ** 2
        row = []
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
            place = mel(np.arange(1, 257) * 16_000 / 512)  # without the constant part
            triangle = np.minimum((place - low) / (middle - low), (high - place) / (high - middle))
            row.append(np.maximum(triangle, 0) @ power[1:])
        found.append((np.log(np.maximum(row, 1e-5)) - MEL_MEAN) / MEL_STD)
    return np.array(found)


def test_features_are_those_of_a_slow_front_end():
    sound, _ = tones.make_tones("test", {"train": 1})["train"][0]
    audio = sound.astype(np.float64)[:1_500] / 2**15
    found = log_mel(jnp.asarray(audio, jnp.float32)[None])[0]
    expected = slow_log_mel(audio)
    assert len(found) == count_frames(len(audio)) == len(expected) == 7
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)
    assert count_frames(320_000) == 1_998


def test_a_frame_is_padding_if_nothing_in_it_is_sound():
    padding = (jnp.arange(1_500) >= 481).astype(jnp.float32)[None]
    # Frames begin at 0, 160, 320, 480, 640, ...: the fourth has one sample.
    assert list(frame_padding(padding)[0]) == [0, 0, 0, 0, 1, 1, 1]


def test_masks_have_the_published_sizes(key):
    ones, length = jnp.ones((64, 200, 80)), 100
    padding = jnp.broadcast_to((jnp.arange(200) >= length).astype(jnp.float32), (64, 200))

    @functools.partial(jax.jit, static_argnums=0)
    def augmented(masks):
        return spec_augment(ones, padding, key, time_masks=masks, freq_masks=masks)

    masked = 1 - np.asarray(augmented(1))
    times, bins = masked[:, :, 0], masked[:, 0, :]
    # A stripe of time hides all bins, and one of frequency all times, unless both meet there.
    widths = masked.all(axis=2).sum(axis=1), masked.all(axis=1).sum(axis=1)
    assert widths[0].max() <= 5 and widths[1].max() == 26
    assert not masked[:, length:].all(axis=2).any()  # padding is not worth a stripe
    assert 0.4 < masked.all(axis=1).sum(axis=1).mean() / 13 < 1.6
    assert set(np.unique(times)) | set(np.unique(bins)) <= {0, 1}
    assert np.all(augmented(0) == 1)


def test_batch_norm_is_of_what_is_no_padding(key):
    x = jax.random.normal(key, (3, 6, 4)) * 2 + 1
    padding = jnp.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1.0]])
    norm = MaskedBatchNorm(4)
    found = norm(x, padding, train=True)  # not compiled: it changes its averages
    there = np.asarray(padding) == 0
    kept = np.asarray(x)[there]
    expected = (kept - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-3)
    np.testing.assert_allclose(np.asarray(found)[there], expected, rtol=1e-4, atol=1e-5)
    assert not np.any(np.asarray(found)[~there])
    np.testing.assert_allclose(norm.mean[...], 0.001 * kept.mean(0), rtol=1e-4)
    np.testing.assert_allclose(norm.variance[...], 0.999 + 0.001 * kept.var(0), rtol=1e-5)
    later = np.asarray(norm(x, padding, train=False))[there]
    mean, variance = np.asarray(norm.mean[...]), np.asarray(norm.variance[...])
    by_average = (kept - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(later, by_average, rtol=1e-4, atol=1e-5)
    row = np.asarray(x)[0, 0]
    np.testing.assert_allclose(
        LayerNorm(4)(x)[0, 0], (row - row.mean()) / np.sqrt(row.var() + 1e-6), rtol=1e-4, atol=1e-5
    )


def plain_distance(one: list, other: list) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def plain_words(tokens: np.ndarray, separator: int | None) -> list[tuple[int, ...]]:
    text = [int(token) for token in tokens if token > 2]
    if separator is None:
        return [(token,) for token in text]
    words, word = [], []
    for token in [*text, separator]:
        if token != separator:
            word.append(token)
        elif word:
            words.append(tuple(word))
            word = []
    return words


@pytest.mark.parametrize("separator", [3, None])
def test_errors_are_the_edit_distance_of_words(separator):
    generator = np.random.default_rng(0)
    heard, said = (generator.integers(0, 7, (60, size), np.int32) for size in (12, 8))

    @jax.jit
    def distances(heard, said):
        words = (ctc.words(tokens, separator=separator) for tokens in (heard, said))
        return ctc.edit_distance(*next(words), *next(words))

    expected = [
        plain_distance(plain_words(a, separator), plain_words(b, separator))
        for a, b in zip(heard, said, strict=True)
    ]
    assert list(distances(heard, said)) == expected


def test_greedy_decoding_joins_repetitions_and_drops_blanks():
    best = jnp.array([[5, 5, 0, 5, 3, 3, 6, 7]])
    logits = jax.nn.one_hot(best, 8)
    padding = jnp.array([[0, 0, 0, 0, 0, 0, 0, 1.0]])
    assert list(ctc.greedy(logits, padding)[0]) == [5, 0, 0, 5, 3, 0, 6, 0]


def test_a_perfect_network_has_no_errors_and_no_loss():
    """Frames say the labels one by one: CTC's loss is near 0, and no word is wrong."""
    frames = jnp.array([[4, 5, 0, 5, 3, 6, 2, 0], [6, 2, 0, 0, 0, 0, 0, 0]])
    label = jnp.array([[4, 5, 5, 3, 6, 2], [6, 2, 0, 0, 0, 0]])
    batch = {"label": label, "label_padding": (label == 0).astype(jnp.float32)}

    @jax.jit
    def measure(frames):
        outputs = 40 * jax.nn.one_hot(frames, 8), jnp.zeros(frames.shape)
        return ctc.objective(outputs, batch, AudioView(8_000, 0, 6, 8, separator=3))

    found = measure(frames)
    assert float(found["loss"][0]) == pytest.approx(0, abs=1e-4) and found["loss"][1] == 8
    assert found["word_error_rate"] == (0, 3)
    assert found["token_error_rate"] == (0, 6)
    wrong = frames.at[0, 0].set(7)  # one word of three
    found = measure(wrong)
    assert (found["word_error_rate"][0], found["token_error_rate"][0]) == (1, 1)


def test_tones_can_be_learned_by_ctc():
    """Every recording has a frame for each label, and one between equal labels."""
    dataset = velodrome.datasets.get("synthetic_tones")
    assert dataset.info.provenance == "stand-in"
    arrays = dataset.load("heldout")
    samples, labels = (np.diff(arrays[f"{name}_offsets"]) for name in ("audio", "label"))
    assert samples.max() <= tones.MOST_SAMPLES and labels.max() <= tones.MOST_LABELS
    frames = [speech.subsampled(AudioView(int(count), 0, 7, 32)) for count in samples]
    assert all(np.array(frames) > labels)
    text = arrays["label"].astype(int)
    assert not np.any((text[1:] == text[:-1]) & (text[1:] > 0))
    assert set(text[arrays["label_offsets"][1:] - 1]) == {tones.END}


def test_a_tone_is_a_sine_of_its_pitch():
    phase = np.arange(1 << 16)
    error = tones._sine(phase) / 2**14 - np.sin(phase * np.pi / 2**15)
    assert np.abs(error).max() < 0.002
    spectrum = np.abs(np.fft.rfft(tones._tone(4, 1_000, 1_600, 16_000)))
    assert spectrum.argmax() * 10 == pytest.approx(250 * 1.125**4, abs=10)


def test_the_cost_of_a_fourier_transform():
    real = count_program(lambda x: jnp.fft.rfft(x).real, jnp.zeros((3, 8)))
    complex_ = count_program(lambda x: jnp.fft.fft(jax.lax.complex(x, x)).real, jnp.zeros((3, 8)))
    assert (real.flops, complex_.flops) == (3 * 60, 3 * 120)
