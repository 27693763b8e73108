"""The One Billion Word Benchmark as published: an archive of text files, a sentence a line."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from taskgen.data.info import Arrays, DatasetInfo
from taskgen.data.published.reader import Reader, SplitReader
from taskgen.data.published.recipes import recipe_of
from taskgen.data.published.sources import RawFile, describe_file, is_published
from taskgen.data.published.splits import Part, tfds_order
from taskgen.data.published.tokens import Encode, tokenize

FOLDERS = {
    "train": ("training-monolingual.tokenized.shuffled", "news.en-*"),
    "test": ("heldout-monolingual.tokenized.shuffled", "news.en.heldout-*"),
}
"""Where the text files of each split of TFDS lie, and their names."""


def open_lm1b(
    info: DatasetInfo,
    directory: Path,
    files: tuple[RawFile, ...],
    *,
    encode: Encode,
    unpack_to: Path,
) -> Reader | None:
    """Reads the benchmark from its archive, or from the unpacked folder.

    Args:
      info: Facts about the data set.
      directory: Where the archive lies, or the unpacked folder or what has it.
      files: The archive as published, with its hash.
      encode: From a text to its tokens.
      unpack_to: Where an archive is unpacked to.

    Returns:
      The reader, or None if the directory has no such files.

    Raises:
      DataError: The archive is damaged.
    """
    archive, record, published = directory / files[0].name, {}, None
    roots = [directory, directory / files[0].name.removesuffix(".tar.gz")]
    root = next((path for path in roots if (path / FOLDERS["train"][0]).is_dir()), None)
    if root is None and archive.is_file():
        record = {archive.name: describe_file(archive)}
        published = is_published(record, files)
        root = _unpack(archive, unpack_to)
    if root is None:
        return None
    parts = recipe_of(info.name).parts
    made = {split: _split(root, part, encode, info.example_tokens) for split, part in parts.items()}
    return Reader(f"text files ({root.name})", made, record, published)


def _unpack(archive: Path, target: Path) -> Path:
    root = target / archive.name.removesuffix(".tar.gz")
    complete = target / "unpacked"
    if not complete.is_file():
        try:
            with tarfile.open(archive) as members:
                members.extractall(target, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"{archive} is damaged: {error}. Fetch it again.") from error
        complete.touch()
    return root


def _split(root: Path, part: Part, encode: Encode, keep: int) -> SplitReader:
    folder, pattern = FOLDERS[part.split]
    paths = sorted((root / folder).glob(pattern))
    if not paths:
        raise DataError(f"{root / folder} has no files {pattern}; unpack the archive again.")
    keys: list[str] = []
    starts: list[np.ndarray] = []
    for path in paths:
        lines = _line_starts(np.fromfile(path, np.uint8))
        starts.append(lines)
        # The name of an example in TFDS: its file and the number of its line.
        keys += [f"{path.name}_{number}" for number in range(len(lines) - 1)]
    first, last = part.bounds(len(keys))
    order = tfds_order(keys, part.split)[first:last]
    file_of = np.repeat(np.arange(len(paths)), [len(lines) - 1 for lines in starts])
    begin = np.concatenate([lines[:-1] for lines in starts])
    end = np.concatenate([lines[1:] for lines in starts])
    mapped = [np.memmap(path, np.uint8, "r") for path in paths]
    read = _line_reader(mapped, file_of[order], begin[order], end[order], encode, keep)
    return SplitReader(len(order), read)


def _line_starts(content: np.ndarray) -> np.ndarray:
    """Where the lines of a file begin, and where the last one ends."""
    ends = np.flatnonzero(content == ord("\n")) + 1
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    return starts if starts[-1] == len(content) else np.append(starts, len(content))


def _line_reader(
    mapped: Sequence[np.ndarray],
    file_of: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    encode: Encode,
    keep: int,
) -> Callable[[int, int], Arrays]:
    def read(start: int, stop: int) -> Arrays:
        places = zip(file_of[start:stop], begin[start:stop], end[start:stop], strict=True)
        texts = [mapped[file][a:b].tobytes().decode("utf-8").strip() for file, a, b in places]
        return tokenize([text.encode() for text in texts], encode, keep=keep)

    return read
