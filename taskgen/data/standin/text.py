"""Stand-in text: a Markov chain over words whose frequencies follow Zipf's law.

Each word is followed by one of a few others three times out of four, and else by any word: so a
model learns frequencies first, spelling next, and then which word follows which, much as on real
text. All arithmetic is on integers, so the bytes are the same on every machine.
"""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.ragged import offsets_of
from velodrome.taskgen.data.rawrandom import random_below, random_words

FIRST_BYTE, FIRST_PIECE = 3, 3
"""Ids before these stand for padding, end and unknown."""

_SUCCESSORS = 8
# Which of its successors follows a word, by four random bits: the first ones more often.
_CHOICE = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
_LETTERS = (
    "e" * 12
    + "t" * 9
    + "ao" * 8
    + "in" * 7
    + "shr" * 6
    + "dl" * 4
    + "cum" * 3
    + "wfgypb" * 2
    + "vk"
)


def make_text(
    name: str,
    sizes: dict[str, int],
    *,
    words: int,
    lengths: tuple[int, int],
    spelled: bool,
    keep: int,
) -> dict[str, Arrays]:
    """Make the splits of a stand-in: ``{split: {"tokens": int[M], "offsets": i64[N+1]}}``.

    Args:
      name: Name of the data set, which seeds all random choices.
      sizes: Number of texts of each split.
      words: Number of different words.
      lengths: Fewest and most words of a text.
      spelled: Whether words are spelled with letters (tokens u8: the byte, plus 3), or are tokens
        themselves (u16: the most frequent one is 3).
      keep: The largest number of tokens of a text.
    """
    successors = _zipf(words, words * _SUCCESSORS, name, "successors").reshape(words, _SUCCESSORS)
    made = {}
    for split, count in sizes.items():
        chain, length = _chains(successors, count, lengths, name, split)
        if spelled:
            letters, ends = _spell(words, name)
            made[split] = _spelled(chain, length, letters, ends, keep)
        else:
            inside = np.arange(chain.shape[1]) < np.minimum(length, keep)[:, None]
            tokens = (chain[inside] + FIRST_PIECE).astype(np.uint16)
            made[split] = {"tokens": tokens, "offsets": offsets_of(np.minimum(length, keep))}
    return made


def _zipf(words: int, count: int, *path: str) -> np.ndarray:
    """Draw i64[count]: rank r, from 0, with a frequency proportional to 1 / (r + 3)."""
    ends = np.cumsum(2**24 // (np.arange(words, dtype=np.int64) + 3))
    point = random_below(int(ends[-1]), count, *path)
    return np.searchsorted(ends, point, side="right")


def _chains(
    successors: np.ndarray, count: int, lengths: tuple[int, int], name: str, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Walk ``count`` chains: words i64[count,longest], and the length of each chain i64[count]."""
    words, shortest, longest = len(successors), *lengths
    length = shortest + random_below(longest - shortest + 1, count, name, split, "length")
    chain = np.empty((count, longest), np.int64)
    for at in range(longest):
        fresh = _zipf(words, count, name, split, "fresh", str(at))
        if at == 0:
            chain[:, 0] = fresh
            continue
        bits = random_words(count, name, split, "choice", str(at)) >> np.uint64(32)
        likely = successors[chain[:, at - 1], _CHOICE[(bits & np.uint64(15)).astype(np.int64)]]
        follows = (bits >> np.uint64(4)) & np.uint64(3) != 0
        chain[:, at] = np.where(follows, likely, fresh)
    return chain, length


def _spell(words: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Spell every word, with a space after it: all letters in a row, and where words end."""
    # Frequent words are short: the number of letters is about log2 of the rank.
    rank = np.arange(words, dtype=np.int64) + 2
    bits = np.array([int(r).bit_length() for r in rank], np.int64)
    count = np.maximum(1, bits - 1 + random_below(3, words, name, "word length"))
    ends = np.cumsum(count + 1)
    alphabet = np.frombuffer(_LETTERS.encode(), np.uint8)
    letters = alphabet[random_below(len(alphabet), int(ends[-1]), name, "spelling")].copy()
    letters[ends - 1] = ord(" ")
    return letters + np.uint8(FIRST_BYTE), ends


def _spelled(
    chain: np.ndarray, length: np.ndarray, letters: np.ndarray, ends: np.ndarray, keep: int
) -> Arrays:
    """Write chains of words as bytes; the space after the last word becomes a full stop."""
    spelled = np.diff(ends, prepend=0)
    parts, counts = [], []
    for some, words in zip(chain, length, strict=True):
        word = some[:words]
        size = spelled[word]
        # The letters of all words of the text, one after the other.
        start = np.repeat(ends[word] - size - np.cumsum(size) + size, size)
        text = letters[start + np.arange(len(start))]
        text[-1] = ord(".") + FIRST_BYTE
        parts.append(text[:keep])
        counts.append(len(parts[-1]))
    return {"tokens": np.concatenate(parts), "offsets": offsets_of(counts)}
