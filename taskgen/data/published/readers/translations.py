"""WMT's sentences and their translations: Parquet files with a column of texts by language."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import SIDES, Reader, SplitReader, spans
from velodrome.taskgen.data.published.readers.tokens import Encode, tokenize
from velodrome.taskgen.data.ragged import offsets_of

FILES = {"train": ("wmt17", "train-*.parquet"), "heldout": ("wmt14", "validation-*.parquet")}
"""Folder and names of the files of each split."""

COLUMN = "translation"


def open_translations(info: DatasetInfo, directory: Path, *, encode: Encode) -> Reader | None:
    """Read the Parquet files below ``wmt17`` and ``wmt14``, in the order of their names."""
    found = {
        split: sorted((directory / folder).rglob(pattern))
        for split, (folder, pattern) in FILES.items()
    }
    if not any(found.values()):
        return None
    made, sizes = {}, {}
    for split, paths in found.items():
        folder, pattern = FILES[split]
        if not paths:
            raise DataError(f"{directory / folder} has no files {pattern}.")
        sizes[split] = {path.name: path.stat().st_size for path in paths}
        made[split] = _split(paths, encode)
        if made[split].count != info.split_sizes[split]:
            raise DataError(
                f"the {split} split of {info.name} has {info.split_sizes[split]:,} pairs, but the "
                f"files in {paths[0].parent} have {made[split].count:,}. Give the whole data set."
            )
    return Reader(f"Parquet files ({directory})", made, notes={"files": content_hash(sizes)})


def _split(paths: Sequence[Path], encode: Encode) -> SplitReader:
    groups = [
        (path, number, rows) for path in paths for number, rows in enumerate(_group_sizes(path))
    ]
    offsets = offsets_of(rows for _, _, rows in groups)

    @functools.lru_cache(maxsize=1)  # chunks that are read one after the other share a group
    def texts(index: int) -> tuple[list[str], list[str]]:
        path, number, _ = groups[index]
        return _read_group(path, number)

    def read(start: int, stop: int) -> Arrays:
        sides: tuple[list[str], list[str]] = ([], [])
        for index, begin, end in spans(offsets, start, stop):
            for side, found in zip(sides, texts(index), strict=True):
                side.extend(found[begin:end])
        source, target = (tokenize((text.encode() for text in side), encode) for side in sides)
        return {
            "source": source["tokens"],
            "source_offsets": source["offsets"],
            "target": target["tokens"],
            "target_offsets": target["offsets"],
        }

    return SplitReader(int(offsets[-1]), read)


def _group_sizes(path: Path) -> list[int]:
    """Return the rows of each group of a file."""
    try:
        with pq.ParquetFile(path) as file:
            groups = file.metadata.num_row_groups
            return [file.metadata.row_group(number).num_rows for number in range(groups)]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is damaged ({error}). Fetch it again.") from error


def _read_group(path: Path, number: int) -> tuple[list[str], list[str]]:
    """Return the texts of both languages."""
    try:
        with pq.ParquetFile(path) as file:
            texts = file.read_row_group(number, columns=[COLUMN]).flatten()
        source, target = (texts[f"{COLUMN}.{name}"].to_pylist() for name in SIDES.values())
        return source, target
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is damaged, or has no column {COLUMN!r} of {' and '.join(SIDES.values())} "
            f"({error}). Fetch it again."
        ) from error
