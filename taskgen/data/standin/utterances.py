"""Stand-in speech of word pieces: up to 20 seconds of tones, with as many tokens as the workload.

No one speaks here. A piece is two or three tones of `velodrome.taskgen.data.standin.tones`, and a
word is one or two pieces. Each of 1,500 words is followed by one of three, after a pause; some are
spelled alike. A third of the pieces begin words, and the others end them, so texts tell where words
begin.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.ragged import offsets_of
from velodrome.taskgen.data.rawrandom import random_below
from velodrome.taskgen.data.standin import tones

END, FIRST = 2, 3
"""The token after a text, and the first one that is a piece, as in workloads' vocabularies."""
WORDS = 1_500
MOST_SAMPLES = 320_000

_SHORTEST = 32_000  # samples: a recording may take from this to the most
_BEGINNINGS = 3  # one piece of as many begins a word
_SUCCESSORS = 3


def make_utterances(name: str, sizes: dict[str, int], vocab_size: int) -> dict[str, Arrays]:
    """Make the splits: audio i16 and label u16, with their offsets.

    Args:
      name: Name of the data set, which seeds all random choices.
      sizes: Recordings of each split.
      vocab_size: Tokens, from 16 to 22,000.
    """
    sound = spelling(name, vocab_size - FIRST)
    words = dictionary(name, vocab_size - FIRST)
    follow = random_below(WORDS, WORDS * _SUCCESSORS, name, "grammar").reshape(WORDS, -1)
    made = {}
    for split, count in sizes.items():
        audio, label = [], []
        room = _SHORTEST + random_below(MOST_SAMPLES - _SHORTEST + 1, count, name, split, "length")
        for at in range(count):
            chosen = _words(follow, words, sound, int(room[at]), name, split, str(at))
            played = [tones.END]
            for word in reversed(chosen):
                heard = [tones.FIRST_TONE + tone for piece in word for tone in sound[piece]]
                played = [*heard, tones.SEPARATOR, *played]
            audio.append(tones.play(np.array(played), name, split, str(at)))
            label.append([*(FIRST + piece for word in chosen for piece in word), END])
        made[split] = {
            "audio": np.concatenate(audio),
            "audio_offsets": offsets_of(map(len, audio)),
            "label": np.concatenate(label).astype(np.uint16),
            "label_offsets": offsets_of(map(len, label)),
        }
    return made


def spelling(name: str, pieces: int) -> list[tuple[int, ...]]:
    """Return the tones of each piece; no two pieces are equal, and no tone follows itself."""
    found: dict[tuple[int, ...], None] = {}
    draws = random_below(tones.TONES, 3 * 8 * pieces, name, "spelling").reshape(-1, 3).tolist()
    long = random_below(2, len(draws), name, "piece length").tolist()
    for draw, more in zip(draws, long, strict=True):
        piece = tuple(draw[: 2 + more])
        if all(a != b for a, b in zip(piece, piece[1:], strict=False)):
            found[piece] = None
    return list(found)[:pieces]


def dictionary(name: str, pieces: int) -> list[list[int]]:
    """Return the pieces of each word: one that begins words, and perhaps one that ends them."""
    begin = random_below(pieces // _BEGINNINGS, WORDS, name, "beginnings")
    end = pieces // _BEGINNINGS + random_below(
        pieces - pieces // _BEGINNINGS, WORDS, name, "endings"
    )
    both = random_below(2, WORDS, name, "word length")
    return [[int(a), int(b)][: 1 + two] for a, b, two in zip(begin, end, both, strict=True)]


def _words(
    follow: np.ndarray,
    words: list[list[int]],
    sound: list[tuple[int, ...]],
    room: int,
    *path: str,
) -> list[list[int]]:
    """Walk from word to word while there is room for the next one, however slowly it is played."""
    most = room // (2 * tones.LONGEST_TONE)
    successor = random_below(_SUCCESSORS, most, *path, "next")
    word = int(random_below(WORDS, 1, *path, "first")[0])
    chosen, room = [], room - 2 * tones.LONGEST_SILENCE
    for choice in successor:
        played = sum(len(sound[piece]) for piece in words[word])
        room -= played * tones.LONGEST_TONE + tones.LONGEST_PAUSE
        if room < 0:
            break
        chosen.append(words[word])
        word = int(follow[word, choice])
    return chosen


def decode_utterance(vocab_size: int, tokens: Iterable[int]) -> str:
    """Return the text of tokens, such as "a5b7 a9", up to the first end."""
    text = []
    for token in tokens:
        if token == END:
            break
        piece = int(token) - FIRST
        if piece >= 0:  # a network may say padding, too
            begins = piece < (vocab_size - FIRST) // _BEGINNINGS
            text.append(f" a{piece}" if begins else f"b{piece}")
    return "".join(text).strip()
