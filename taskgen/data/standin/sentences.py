"""Stand-in translations: sentences of made-up words, and the same ones in another language.

The source is a chain of words as in stand-in text, with the verb at the end. The target has the
verb in the second place, and every other word in the order of the source. A word is always
translated alike: one in four by two tokens, the others by one. So a model learns frequencies first,
then which word follows which, and at last to translate and to move the verb. All arithmetic is on
integers, so the bytes are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.ragged import offsets_of
from velodrome.taskgen.data.rawrandom import random_below, random_words
from velodrome.taskgen.data.standin.text import make_text

END, FIRST = 2, 3
"""The token that ends a sentence, and the first one that is a word; 0 is padding and 1 not used, as
in the vocabularies of the workloads."""

_LENGTHS = (4, 60)  # words of a source


def make_sentences(name: str, sizes: dict[str, int], vocab_size: int) -> dict[str, Arrays]:
    """Make the splits: source and target u16, with their offsets.

    Args:
      name: Name of the data set, which seeds all random choices.
      sizes: Pairs of each split.
      vocab_size: Tokens of both languages together, from 5 to 65,536. Each has half of them.
    """
    words = (vocab_size - FIRST) // 2
    first, second, double = dictionary(name, words)
    made = {}
    texts = make_text(name, sizes, words=words, lengths=_LENGTHS, spelled=False, keep=_LENGTHS[1])
    for split, text in texts.items():
        source, offsets = text["tokens"].astype(np.int64) - FIRST, text["offsets"]
        ordered = source[_with_verb_second(offsets)]
        # The second token of a translation is there or not.
        tokens = np.stack([first[ordered], second[ordered]], axis=1)
        there = np.stack([np.ones(len(ordered), bool), double[ordered]], axis=1)
        ends = np.concatenate(([0], np.cumsum(there.sum(axis=1))))[offsets]
        made[split] = {
            **_ended("source", source + FIRST, offsets),
            **_ended("target", tokens[there] + FIRST, ends),
        }
    return made


def dictionary(name: str, words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the translations of words: first tokens, second ones, and which have a second one.

    Tokens are less `FIRST`: those of the source are below ``words``, and those of the target not.
    """
    first = words + np.argsort(random_words(words, name, "dictionary"), kind="stable")
    second = words + random_below(words, words, name, "second tokens")
    return first, second, random_below(4, words, name, "double") == 0


def _with_verb_second(offsets: np.ndarray) -> np.ndarray:
    """Return where in the source each word of the target is, before it is translated."""
    at = np.arange(offsets[-1])
    sentence = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    place = at - offsets[sentence]
    last = offsets[sentence + 1] - 1
    return np.where(place == 0, at, np.where(place == 1, last, at - 1))


def _ended(name: str, tokens: np.ndarray, offsets: np.ndarray) -> Arrays:
    """Return sequences with `END` after each."""
    return {
        name: np.insert(tokens, offsets[1:], END).astype(np.uint16),
        f"{name}_offsets": offsets_of(np.diff(offsets) + 1),
    }


def decode_sentence(tokens: Iterable[int]) -> str:
    """Return tokens as words, such as "w17", up to the first end."""
    words = []
    for token in tokens:
        if token == END:
            break
        if token >= FIRST:  # a network may say padding, too
            words.append(f"w{int(token)}")
    return " ".join(words)
