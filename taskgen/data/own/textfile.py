"""Read a text file as bytes, for language models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.contents import Contents

FEWEST_BYTES = 10_000
"""So that the held-out tenth has a sequence of 512, the longest that is sampled."""

FEWEST_HELD = 1_000

VOCABULARY = 256


def read_text(path: Path) -> Contents:
    """Read a text: a token is a byte of UTF-8; the last tenth, from a new line, is held out.

    Raises:
      DataError: The file is no text in UTF-8, or too short.
    """
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise DataError(f"{path.name} is empty.")
    try:
        content.decode("utf-8")
        bad = content.find(b"\0")
    except UnicodeDecodeError as error:
        bad = error.start
    if bad >= 0:
        raise DataError(
            f"{path.name} is not text in UTF-8: its byte {bad} is {content[bad]:#04x}. Data are "
            ".npz or .csv files, folders of images, or text; convert the file to one of these."
        )
    return text_contents(content, None, path.name, {})


def text_contents(
    content: bytes, held: bytes | None, where: str, notes: Mapping[str, str]
) -> Contents:
    """Make a data set of a text in UTF-8, and of the one to hold out, if it comes with one."""
    whole = len(content) + len(held or b"")
    if whole < FEWEST_BYTES or (held is not None and len(held) < FEWEST_HELD):
        least = f"{FEWEST_BYTES:,}" + (f", {FEWEST_HELD:,} of them held out" if held else "")
        raise DataError(
            f"{where} has {whole:,} bytes of text; at least {least} are needed, so that there are "
            "enough sequences in both splits."
        )
    rule = "the held-out text comes with the data"
    if held is None:
        border = _border(content)
        content, held = content[:border], content[border:]
        rule = "the last tenth, from the start of a line, is held out"
    splits = {"train": content, "heldout": held}
    arrays = {name: {"tokens": np.frombuffer(text, np.uint8)} for name, text in splits.items()}
    kinds = len(np.unique(np.concatenate([part["tokens"] for part in arrays.values()])))
    found = {"tokens": f"bytes, of which {kinds} different ones occur", "split": rule}
    return Contents("text", arrays, notes=dict(notes) | found)


def _border(content: bytes) -> int:
    """Return where the last tenth begins: at a line, if one begins in the half before."""
    tenth = len(content) * 9 // 10
    border = content.rfind(b"\n", len(content) // 2, tenth) + 1
    if border:
        return border
    while content[tenth] & 0xC0 == 0x80:  # inside a character
        tenth -= 1
    return tenth
