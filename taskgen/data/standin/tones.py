"""Stand-in speech: words made of tones, in the order of a small grammar, with noise.

No one speaks here. An alphabet of 28 tones, each a major second (9:8) above the one before, from
250 to 6,012 Hz, spells 48 words of two or three tones. Each word is followed by one of three
others. A recording has one word, or two with a pause between them; pitch, loudness and tempo vary a
little. A model learns first that most frames say nothing, then the tones, and then which words
there are. All arithmetic is on integers, so the bytes are the same on every machine.
"""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.rawrandom import random_below

TONES = 28
WORDS = 48
SEPARATOR, END, FIRST_TONE = 3, 2, 4
"""Tokens: 0 is the blank and the padding, 1 is not used, and tones come last."""
VOCAB_SIZE = FIRST_TONE + TONES
TOKEN_NAMES = (
    *("blank", "begin", "end", " "),
    *(f"{250 * 9**tone // 8**tone} Hz" for tone in range(TONES)),
)
MOST_LABELS = 7
"""Most tokens of a recording: five tones, a separator and the end."""
MOST_SAMPLES = 8_000
"""Most samples of a recording: half a second."""

_RATE = 16_000
_LOWEST_HZ = 250
_SUCCESSORS = 3
_HALF_PERIOD = 1 << 15  # in units of phase
# Fewest samples, and how many more there may be at most.
_TONE, _PAUSE, _SILENCE = (880, 160), (640, 160), (400, 200)
LONGEST_TONE, LONGEST_PAUSE, LONGEST_SILENCE = map(sum, (_TONE, _PAUSE, _SILENCE))
_LOUDNESS = (6_000, 10_000)  # of 32,767
_NOISE = 600
_DETUNED = 20  # thousandths of the pitch, up or down
_RAMP = 80  # samples in which a tone swells, and in which it fades

Recording = tuple[np.ndarray, np.ndarray]
"""Samples i16[S], and tokens i32[L]."""


def make_tones(name: str, sizes: dict[str, int]) -> dict[str, list[Recording]]:
    """Make the recordings of each split, with their tokens.

    Args:
      name: Name of the data set, which seeds all random choices.
      sizes: Recordings of each split.
    """
    words = dictionary(name)
    follow = random_below(WORDS, WORDS * _SUCCESSORS, name, "grammar").reshape(WORDS, -1)
    made = {}
    for split, count in sizes.items():
        first = random_below(WORDS, count, name, split, "first")
        after = follow[first, random_below(_SUCCESSORS, count, name, split, "next")]
        two = random_below(4, count, name, split, "words") > 0  # three times out of four
        texts = [
            _spell(words[a], words[b] if both else [])
            for a, b, both in zip(first, after, two, strict=True)
        ]
        made[split] = [(play(text, name, split, str(at)), text) for at, text in enumerate(texts)]
    return made


def dictionary(name: str) -> list[list[int]]:
    """Return the words, each a list of tones; no tone follows itself, and no two are equal."""
    draws = iter(random_below(TONES, 64 * WORDS, name, "spelling"))
    long = random_below(2, WORDS, name, "length")
    words: list[list[int]] = []
    while len(words) < WORDS:
        word = [int(next(draws)) for _ in range(2 + int(long[len(words)]))]
        if word not in words and all(a != b for a, b in zip(word, word[1:], strict=False)):
            words.append(word)
    return words


def _spell(word: list[int], other: list[int]) -> np.ndarray:
    """Return the tokens of one word, and of the other if it is one and there is room for it."""
    text = [FIRST_TONE + tone for tone in word]
    if other and len(word) + len(other) + 2 <= MOST_LABELS:
        text += [SEPARATOR, *(FIRST_TONE + tone for tone in other)]
    return np.array([*text, END], np.int32)


def play(text: np.ndarray, *path: str) -> np.ndarray:
    """Return the sound i16[S] of tokens: silence, tones and pauses, silence, under noise."""
    draws = iter(random_below(1 << 16, 4 * len(text) + 4, *path, "performance"))

    def drawn(least: int, more: int) -> int:
        return least + (int(next(draws)) * (more + 1) >> 16)

    pitch = 1_000 - _DETUNED + drawn(0, 2 * _DETUNED)
    parts = [np.zeros(drawn(*_SILENCE), np.int64)]
    for token in text[:-1]:
        if token == SEPARATOR:
            parts.append(np.zeros(drawn(*_PAUSE), np.int64))
        else:
            parts.append(_tone(int(token) - FIRST_TONE, pitch, drawn(*_TONE), drawn(*_LOUDNESS)))
    parts.append(np.zeros(drawn(*_SILENCE), np.int64))
    sound = np.concatenate(parts)
    noise = random_below(2 * _NOISE + 1, len(sound), *path, "noise") - _NOISE
    return (sound + noise).astype(np.int16)


def _tone(tone: int, pitch: int, length: int, loudness: int) -> np.ndarray:
    """Return i64[length] of a tone, whose pitch is in thousandths of what it should be."""
    # Phases grow by whole units: 2^16 are a period.
    step = 2 * _HALF_PERIOD * _LOWEST_HZ * 9**tone * pitch // (8**tone * 1_000 * _RATE)
    at = np.arange(length, dtype=np.int64)
    swell = np.minimum(np.minimum(at, length - 1 - at), _RAMP)
    return _sine(step * at) * loudness * swell // (_RAMP << 14)


def _sine(phase: np.ndarray) -> np.ndarray:
    """Return i64, 2^14 times the sine, by Bhaskara's formula, which errs by 0.2% at most."""
    within = phase % _HALF_PERIOD
    arc = within * (_HALF_PERIOD - within)
    height = (arc << 18) // (5 * _HALF_PERIOD**2 - 4 * arc)
    return np.where(phase // _HALF_PERIOD % 2 == 0, height, -height)
