"""BLEU of collected tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.translation import bleu, score

pytest.importorskip("sacrebleu")  # of the extra `mlcommons`

INFO = DatasetInfo(name="words", kind="pair", licence="", origin="", provenance="own", vocab_size=9)
WORDS = ["", "", "", "the", "cat", "sat", "on", "a", "mat"]
COLLECTED = {
    "translation": np.array([[3, 4, 5, 6, 7, 8, 2], [4, 5, 2, 0, 0, 0, 0]]),
    "reference": np.array([[3, 4, 5, 6, 3, 8, 2], [3, 4, 5, 2, 0, 0, 0]]),
}


def text(tokens: Iterable[int]) -> str:
    return " ".join(WORDS[token] for token in itertools.takewhile(lambda token: token != 2, tokens))


def test_bleu_is_of_the_texts_of_all_examples_together():
    found = score(COLLECTED, Dataset(INFO, lambda split: {}, decode=text))
    wanted = bleu(["the cat sat on a mat", "cat sat"], ["the cat sat on the mat", "the cat sat"])
    assert found == {"bleu": wanted} and 30 < wanted < 90


def test_a_data_set_without_texts_is_an_error():
    with pytest.raises(DataError, match="data set 'words' does not say what its tokens stand for"):
        score(COLLECTED, Dataset(INFO, lambda split: {}))
