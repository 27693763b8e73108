"""The vocabularies of MLCommons workloads: SentencePiece models with the ids 0, 1 and 2."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.foundation.extras import optional
from velodrome.foundation.files import sha256_file
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.tokens import Encode

IDS = (0, 1, 2)
"""Unknown, beginning and end. The first is padding too; the second is never used."""


def load_workload_pieces(model: Path, info: DatasetInfo) -> tuple[Encode, dict[str, str]]:
    """Load the SentencePiece model of a workload of MLCommons.

    Returns:
      The function from a text to its tokens u16, with the end after them, and what to record.
    """
    sentencepiece, processor = _load(model, info.name)
    ids = (processor.unk_id(), processor.bos_id(), processor.eos_id())
    if processor.GetPieceSize() != info.vocab_size or ids != IDS:
        raise DataError(
            f"{model} has {processor.GetPieceSize():,} pieces and the ids {ids} for unknown, "
            f"beginning and end, but {info.name} needs {info.vocab_size:,} and {IDS}. "
            "docs/how-to/prepare-mlcommons.md says how to make it."
        )

    def encode(text: bytes) -> np.ndarray:
        found = processor.EncodeAsIds(text.decode("utf-8", errors="replace"))
        return np.asarray([*found, IDS[2]], np.uint16)

    return encode, {"vocabulary": sha256_file(model), "sentencepiece": sentencepiece.__version__}


def decode_workload(model: Path, name: str, tokens: Iterable[int]) -> str:
    """Return the text of tokens of the data set ``name``, up to the first end."""
    text: list[int] = []
    for token in tokens:
        if token == IDS[2]:
            break
        if token not in IDS:  # a network may say padding, too
            text.append(int(token))
    return _processor(model, name).DecodeIds(text)


@functools.lru_cache(maxsize=4)
def _processor(model: Path, name: str) -> Any:
    return _load(model, name)[1]


def _load(model: Path, name: str) -> tuple[Any, Any]:
    """Return the package, and the model in it."""
    sentencepiece = optional(
        "sentencepiece", extra="mlcommons", needed_by=f"the vocabulary of {name}"
    )
    if not model.is_file():
        raise DataError(f"there is no file {model}; give a SentencePiece model.")
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(model))
    except (OSError, RuntimeError) as error:
        raise DataError(f"{model} is no SentencePiece model: {error}.") from error
    return sentencepiece, processor
