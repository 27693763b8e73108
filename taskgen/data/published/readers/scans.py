"""fastMRI's scans of knees with a single coil: one HDF5 file for each volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError
from velodrome.foundation.extras import optional
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.kspace import measured_columns, seen
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader, spans
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.ragged import offsets_of

Found = TypeVar("Found")

FOLDERS = {"train": "singlecoil_train", "heldout": "singlecoil_val"}
HELD_OUT_FILES = 100
"""The first of the validation volumes, by name; the workload tests on the others."""


def open_scans(info: DatasetInfo, directory: Path) -> Reader | None:
    """Read the volumes in ``singlecoil_train`` and ``singlecoil_val``.

    As in the workload, a training slice is measured in columns of its own, and all that are held
    out and have the same width share theirs.
    """
    if not any((directory / folder).is_dir() for folder in FOLDERS.values()):
        return None
    made, names = {}, {}
    for split, folder in FOLDERS.items():
        paths, expected = sorted((directory / folder).glob("*.h5")), RECIPES[info.name].counts
        if len(paths) != expected[folder]:
            raise DataError(
                f"{folder} of fastMRI has {expected[folder]:,} files, but {directory / folder} has "
                f"{len(paths):,}. Give the whole data set."
            )
        paths = paths if split == "train" else paths[:HELD_OUT_FILES]
        names[split] = {path.name: path.stat().st_size for path in paths}
        made[split] = _split(info, split, paths)
    # Hashing 90 GB would take long: names and sizes identify the source, and the content hash of
    # what was read is recorded in the end.
    return Reader(f"HDF5 files ({directory})", made, notes={"files": content_hash(names)})


def _split(info: DatasetInfo, split: str, paths: Sequence[Path]) -> SplitReader:
    counts = [_opened(path, lambda file: len(file["kspace"])) for path in paths]
    if sum(counts) != info.split_sizes[split]:
        raise DataError(
            f"the {split} split of {info.name} has {info.split_sizes[split]:,} slices, but the "
            f"files in {paths[0].parent} have {sum(counts):,}. Give the whole data set."
        )
    offsets = offsets_of(counts)

    def read(start: int, stop: int) -> Arrays:
        parts = [
            _slices(info, split, paths[at], begin, end, int(offsets[at]) + begin)
            for at, begin, end in spans(offsets, start, stop)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return SplitReader(int(offsets[-1]), read)


def _slices(info: DatasetInfo, split: str, path: Path, begin: int, end: int, number: int) -> Arrays:
    """Return slices of a file, the first of which is the ``number``-th of its split."""

    def take(file: Any) -> tuple[np.ndarray, np.ndarray, float]:
        return file["kspace"][begin:end], file["reconstruction_esc"][begin:end], file.attrs["max"]

    kspace, target, largest = _opened(path, take)
    count, height, width = kspace.shape
    rows, columns = info.shape
    if height < rows or width < columns or target.shape[1:] != info.shape:
        raise DataError(
            f"{path} has slices of {height}x{width} and reconstructions of {target.shape[1:]}, but "
            f"{info.name} has slices of at least {rows}x{columns} and reconstructions of "
            f"{info.shape}. Give the files of single-coil knees."
        )
    if split == "train":
        measured = [
            measured_columns(1, width, info.name, split, str(number + index))
            for index in range(count)
        ]
    else:
        measured = [measured_columns(1, width, info.name, split)] * count
    top, left = (height - rows) // 2, (width - columns) // 2
    image = seen(kspace, np.concatenate(measured))[:, top : top + rows, left : left + columns]
    return {
        "image": image.astype(np.float32),
        "target": target.astype(np.float32),
        "volume_max": np.full(count, largest, np.float32),
    }


def _opened(path: Path, look: Callable[[Any], Found]) -> Found:
    """Return what ``look`` finds in an HDF5 file."""
    h5py = optional("h5py", extra="mlcommons", needed_by="reading fastMRI")
    try:
        with h5py.File(path) as file:
            return look(file)
    except (OSError, KeyError) as error:
        raise DataError(
            f"{path} is damaged, or no file of fastMRI ({error}). Fetch or unpack it again."
        ) from error
