"""Word error rates of networks that are trained with CTC, over all recordings together.

Unlike those of `velodrome.taskgen.nn.ctc`, words are those of texts, so tokens may be any pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.corpus import Model
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.functions import Batch
from velodrome.taskgen.nn.ctc import FIRST, greedy
from velodrome.taskgen.views import AudioView

Words = Sequence[Hashable]

ADDED_WORDS = 2
"""Words that AlgoPerf's reference adds to both texts of each recording, which are always right."""


def collect(model: Model, batch: Batch, view: AudioView) -> Batch:
    """Return the tokens of greedy decoding i32[B,T], and the labels i32[B,L]; 0 is no token."""
    del view
    logits, padding = model.outputs
    return {"heard": greedy(logits, padding), "said": batch["label"]}


def score(collected: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
    """Return errors over words, and the rate that AlgoPerf logs; NaN where nothing is said.

    Raises:
      DataError: Nobody knows what the words of the data set are.
    """
    split, errors, words = splitter(dataset), 0, 0
    heard, said = collected["heard"].tolist(), collected["said"].tolist()
    for one, other in zip(heard, said, strict=True):
        reference = split(other)
        errors += edit_distance(split(one), reference)
        words += len(reference)
    with_added = words + ADDED_WORDS * len(said)
    return {
        "word_error_rate": errors / words if words else float("nan"),
        "algoperf_word_error_rate": errors / with_added if words else float("nan"),
    }


def splitter(dataset: Dataset) -> Callable[[Sequence[int]], Words]:
    """Return a function from tokens to words; blanks, beginnings and ends are left out.

    Raises:
      DataError: The data set has neither a token between words, nor texts.
    """
    names, decode = dataset.info.class_names, dataset.decode
    if " " in names:
        separator = names.index(" ")
        return lambda tokens: list(_between(_said(tokens), separator))
    if decode is None:
        raise DataError(
            f"word errors need to know the words of the data set {dataset.name!r}: give "
            "velodrome.Dataset a function `decode`, or name one of its tokens ' '."
        )
    return lambda tokens: decode(_said(tokens)).split()


def _said(tokens: Sequence[int]) -> list[int]:
    return [token for token in tokens if token >= FIRST]


def _between(tokens: Sequence[int], separator: int) -> Iterator[tuple[int, ...]]:
    word: list[int] = []
    for token in (*tokens, separator):
        if token != separator:
            word.append(token)
        elif word:
            yield tuple(word)
            word = []


def edit_distance(one: Words, other: Words) -> int:
    """Return the fewest insertions, deletions and substitutions that turn one into the other."""
    row = list(range(len(other) + 1))
    for number, word in enumerate(one, 1):
        diagonal, row[0] = row[0], number
        for place, wanted in enumerate(other, 1):
            substituted = diagonal + (word != wanted)
            diagonal = row[place]
            row[place] = min(substituted, diagonal + 1, row[place - 1] + 1)
    return row[-1]
