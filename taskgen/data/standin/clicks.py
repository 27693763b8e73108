"""A stand-in for Criteo's click logs: rows of their form, of no clicks at all.

Numbers are small counts, categories follow Zipf's law, and about one row in thirty is a click: a
hidden score that adds up over categories and numbers, and noise, decide. All choices are made with
integers, so the bytes are the same on every machine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.facts import CRITEO_VOCABULARIES
from velodrome.taskgen.data.rawrandom import random_below, random_words
from velodrome.taskgen.data.stored import stored_dataset

NUMBERS, CATEGORIES = 13, 26
_RANKS = 10_000  # different categories that a column has at most
_ODD = 2_654_435_761  # spreads ranks over the hashes of a column
_SEED = "synthetic_clicks"
_CLICKS = 30  # one row in as many is a click

INFO = DatasetInfo(
    name="stand-in:criteo1tb",
    kind="hashed_table",
    licence="none needed: generated",
    origin="generated in place of criteo1tb; not real data",
    provenance="stand-in",
    shape=(NUMBERS, CATEGORIES),
    num_classes=2,
    vocab_size=max(CRITEO_VOCABULARIES),
    dtype="float32",
    split_sizes={"train": 60_000, "heldout": 6_000},
    split_hashes={
        "train": "f5c36fc9c6e83ac8488e9a98cb9cbde5f3cf2d60c84f129fdb595911800bf863",
        "heldout": "2c9f0e7796ccc6751060de706b9841d3e3e8b8bcca7b24a7318341f204e75dde",
    },
)


LARGE = dataclasses.replace(
    INFO,
    name="stand-in:criteo1tb_large",
    split_sizes={"train": 300_000, "heldout": 30_000},
    split_hashes={
        "train": "8d7f50e23f0bb0315c0a02404c9fd45f17a50732b6d8d4009ba58be4d6f83982",
        "heldout": "3612563644ac7ead79cb05296a0455f45978ddd013a3aebb6761b4b4019f0a1b",
    },
)
"""More of the same rows: more than a batch of the workload."""


def build(sizes: Mapping[str, int] = INFO.split_sizes) -> dict[str, Arrays]:
    """Make the rows of both splits."""
    made, threshold = {}, None
    for split, count in sizes.items():
        category, score = _categories(count, split)
        counts = _counts(count, split)
        # Half of the numbers say something, and the noise is about a third of the score.
        score += 40 * np.minimum(counts[:, ::2], 8).sum(axis=1)
        score += sum(random_below(600, count, _SEED, split, "noise", str(at)) for at in range(3))
        if threshold is None:
            threshold = np.sort(score)[-(count // _CLICKS)]
        # log(1 + x), as the workload has it.
        logs = np.array([math.log1p(x) for x in range(int(counts.max()) + 1)], np.float32)
        label = (score >= threshold).astype(np.int32)
        made[split] = {"row": logs[counts], "category": category, "label": label}
    return made


def _categories(count: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw hashes i32[count,26], and the score i64[count] that they add up to."""
    found = np.empty((count, CATEGORIES), np.int32)
    score = np.zeros(count, np.int64)
    for at, vocabulary in enumerate(CRITEO_VOCABULARIES):
        ranks = min(vocabulary, _RANKS)
        ends = np.cumsum(2**24 // (np.arange(ranks, dtype=np.int64) + 3))
        drawn = random_below(int(ends[-1]), count, _SEED, split, "category", str(at))
        rank = np.searchsorted(ends, drawn, side="right")
        found[:, at] = (rank * _ODD + at) % vocabulary
        score += random_below(256, ranks, _SEED, "score", str(at))[rank]
    return found, score


def _counts(count: int, split: str) -> np.ndarray:
    """Draw i64[count,13]: every number is as likely as all larger ones of its column together."""
    words = random_words(count * NUMBERS, _SEED, split, "numbers").reshape(count, NUMBERS)
    # The zeros before the first one of 32 bits, and a few more bits for larger columns.
    high = (words >> np.uint64(32)).astype(np.int64)
    zeros = 32 - np.frexp(high.astype(np.float64))[1].astype(np.int64)
    return (zeros << (np.arange(NUMBERS) % 4)) + (words & np.uint64(1)).astype(np.int64)


STAND_IN_CLICKS = stored_dataset(INFO, build, distribution="numpy", version="2.4.6")
STAND_IN_MANY_CLICKS = stored_dataset(
    LARGE, lambda: build(LARGE.split_sizes), distribution="numpy", version="2.4.6"
)
