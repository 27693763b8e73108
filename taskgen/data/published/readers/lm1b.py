"""The One Billion Word Benchmark, unpacked: text files with a sentence a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader
from velodrome.taskgen.data.published.readers.tokens import Encode, tokenize
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.published.splits import Part, digest_order, key_digests

ROOT = "1-billion-word-language-modeling-benchmark-r13output"
"""The one folder of the archive."""

FOLDERS = {
    "train": ("training-monolingual.tokenized.shuffled", "news.en-*"),
    "test": ("heldout-monolingual.tokenized.shuffled", "news.en.heldout-*"),
}
"""Where the text files of each split of TFDS lie, and their names."""


def open_lm1b(info: DatasetInfo, directory: Path, *, encode: Encode) -> Reader | None:
    """Read the benchmark from its unpacked folder, or the one it is in."""
    roots = [directory, directory / ROOT]
    root = next((path for path in roots if (path / FOLDERS["train"][0]).is_dir()), None)
    if root is None:
        return None
    made, sizes = {}, {}
    for split, part in RECIPES[info.name].parts.items():
        paths = _text_files(root, part.split)
        sizes[part.split] = {path.name: path.stat().st_size for path in paths}
        made[split] = _split(info, paths, part, encode)
    # Hashing the text would take long: the sizes of the files identify the source, and the content
    # hash of what was read is recorded in the end.
    return Reader(f"text files ({root})", made, notes={"text": content_hash(sizes)})


def _text_files(root: Path, split: str) -> list[Path]:
    folder, pattern = FOLDERS[split]
    paths = sorted((root / folder).glob(pattern))
    if not paths:
        raise DataError(f"{root / folder} has no files {pattern}; unpack the archive again.")
    return paths


def _split(info: DatasetInfo, paths: Sequence[Path], part: Part, encode: Encode) -> SplitReader:
    digests, starts = [], []
    for path in paths:
        lines = _line_starts(np.fromfile(path, np.uint8))
        starts.append(lines)
        # TFDS names an example after its file and the number of its line. The names are hashed a
        # file at a time, because those of 30 million sentences would take gigabytes.
        keys = (f"{path.name}_{number}" for number in range(len(lines) - 1))
        digests.append(key_digests(keys, part.split))
    count, expected = sum(map(len, digests)), RECIPES[info.name].counts[part.split]
    if count != expected:
        raise DataError(
            f"the {part.split} split of {info.name} has {expected:,} sentences, but the files in "
            f"{paths[0].parent} have {count:,}. Give the whole data set."
        )
    first, last = part.bounds(count)
    order = digest_order(np.concatenate(digests))[first:last]
    lengths = [len(lines) - 1 for lines in starts]
    file_of = np.repeat(np.arange(len(paths), dtype=np.int16), lengths)[order]
    begin = np.concatenate([lines[:-1] for lines in starts])[order]
    end = np.concatenate([lines[1:] for lines in starts])[order]
    read = _line_reader(paths, file_of, begin, end, encode, info.example_tokens)
    return SplitReader(len(order), read)


def _line_starts(content: np.ndarray) -> np.ndarray:
    """Return where the lines of a file begin, and where the last one ends."""
    ends = np.flatnonzero(content == ord("\n")) + 1
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    return starts if starts[-1] == len(content) else np.append(starts, len(content))


def _line_reader(
    paths: Sequence[Path],
    file_of: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    encode: Encode,
    keep: int,
) -> Callable[[int, int], Arrays]:
    mapped = [np.memmap(path, np.uint8, "r") if path.stat().st_size else None for path in paths]

    def text(file: int, first: int, last: int) -> bytes:
        content = mapped[file]
        assert content is not None  # an empty file has no lines
        try:
            return content[first:last].tobytes().decode("utf-8").strip().encode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{paths[file]} is no UTF-8 at byte {first + error.start:,}; it is damaged. Fetch "
                "or unpack it again."
            ) from error

    def read(start: int, stop: int) -> Arrays:
        chosen = [array[start:stop].tolist() for array in (file_of, begin, end)]
        texts = [text(*place) for place in zip(*chosen, strict=True)]
        return tokenize(texts, encode, keep=keep)

    return read
