"""Words of token sequences, and the edits between them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.transcription import edit_distance, score

PIECES = ["", "", "", " the", " cat", " sat", "s"]
INFO = DatasetInfo(
    name="pieces", kind="audio", licence="", origin="", provenance="own", vocab_size=7,
    dtype="int16",
)  # fmt: skip
SPOKEN = Dataset(INFO, lambda split: {}, decode=lambda tokens: "".join(PIECES[t] for t in tokens))
# "the cats sat" heard as "the cat", and "sat" heard as "sat sats"; 0 is no token, 2 an end.
SAID = np.array([[3, 4, 6, 5, 2], [5, 2, 0, 0, 0]])
HEARD = np.array([[0, 3, 0, 4, 0, 0], [5, 5, 6, 0, 2, 0]])


def test_words_are_those_of_the_text():
    found = score({"heard": HEARD, "said": SAID}, SPOKEN)
    assert found == {"word_error_rate": 3 / 4, "algoperf_word_error_rate": 3 / 8}


def test_words_are_between_spaces_where_a_token_is_one():
    names = ("blank", "begin", "end", " ", "a", "b", "c")
    spelled = Dataset(dataclasses.replace(INFO, class_names=names), lambda split: {})
    # "ab c" heard as "a b c".
    collected = {"heard": np.array([[4, 3, 3, 5, 3, 6]]), "said": np.array([[4, 5, 3, 6, 2]])}
    assert score(collected, spelled)["word_error_rate"] == 2 / 2
    silence = {name: np.zeros((2, 3), int) for name in collected}
    assert np.isnan(score(silence, spelled)["word_error_rate"])


def test_a_data_set_without_words_is_an_error():
    with pytest.raises(DataError, match="words of the data set 'pieces'"):
        score({"heard": HEARD, "said": SAID}, Dataset(INFO, lambda split: {}))


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)],
)
def test_edits(one: str, other: str, edits: int):
    assert edit_distance(one, other) == edits
