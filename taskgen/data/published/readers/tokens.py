"""Text to tokens, as in the published tasks: bytes, or the 32,000 pieces of T5.

Nothing is put before or after a text; ids 0, 1 and 2 stand for padding, end and unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.foundation.extras import optional
from velodrome.foundation.files import sha256_file
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.ragged import offsets_of

PIECES = 32_000
"""Pieces of the vocabulary ``cc_all.32000`` of T5; its 100 extra ids are never in text."""

_HIGHEST_BYTE = 252  # its id still fits into a byte; UTF-8 has none above 244

Encode = Callable[[bytes], np.ndarray]


def encode_bytes(text: bytes) -> np.ndarray:
    """Return the bytes of a text in UTF-8 as tokens u8: id = byte + 3."""
    values = np.frombuffer(text, np.uint8)
    if values.size and int(values.max()) > _HIGHEST_BYTE:
        raise DataError(
            f"a text has the byte {int(values.max())}, which UTF-8 never has: {text[:40]!r}. "
            "The source is damaged."
        )
    return values + np.uint8(3)


def load_pieces(model: Path) -> tuple[Encode, dict[str, str]]:
    """Load the SentencePiece model of T5, ``sentencepiece.model`` of ``cc_all.32000``.

    Returns:
      The function from a text to its tokens u16, and what to record about it.
    """
    sentencepiece = optional("sentencepiece", extra="prepare", needed_by="the 32k vocabulary")
    if not model.is_file():
        raise DataError(f"there is no file {model}; give the sentencepiece.model of cc_all.32000.")
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(model))
    except (OSError, RuntimeError) as error:
        raise DataError(f"{model} is no SentencePiece model: {error}.") from error
    found = (processor.GetPieceSize(), processor.pad_id(), processor.eos_id(), processor.unk_id())
    if found != (PIECES, 0, 1, 2):
        raise DataError(
            f"{model} is not the vocabulary of T5: it has {found[0]:,} pieces and the ids "
            f"{found[1:]} for padding, end and unknown, but cc_all.32000 has {PIECES:,} and "
            "(0, 1, 2). docs/how-to/prepare-data.md says where to get it."
        )

    def encode(text: bytes) -> np.ndarray:
        ids = processor.EncodeAsIds(text.decode("utf-8", errors="replace"))
        return np.asarray(ids, np.uint16)

    return encode, {"vocabulary": sha256_file(model), "sentencepiece": sentencepiece.__version__}


def tokenize(texts: Iterable[bytes], encode: Encode, *, keep: int | None = None) -> Arrays:
    """Tokenise texts in UTF-8 to ``{"tokens": int[M], "offsets": i64[N+1]}``.

    At most ``keep`` tokens of each are kept, or all.
    """
    rows = [encode(text)[:keep] for text in texts]
    return {"tokens": np.concatenate(rows), "offsets": offsets_of(map(len, rows))}
