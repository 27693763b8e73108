"""Add a user's own data: read them once, and remember what they are under a name."""

from __future__ import annotations

import datetime
import importlib.metadata
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import DataError, UnknownNameError
from velodrome.foundation.files import resolved
from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.data.own import names
from velodrome.taskgen.data.own.contents import HUB, Contents, Options
from velodrome.taskgen.data.own.record import (
    Reading,
    read_record,
    record_path,
    source_hash,
    stamp_of,
    write_reading,
)
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.stored import cached_arrays

#: What stands for more than one data set where a name is given.
_KINDS = ("published", "built-in", "stand-in")

_PACKAGES = ("velodrome", "numpy", "pyarrow", "pillow")


@dataclass(frozen=True)
class Added:
    """Data that were added.

    Attributes:
      notes: What was inferred, in words, by what it is about.
      record: The file that it is remembered in.
    """

    dataset: Dataset
    notes: dict[str, str]
    record: Path


def add_data(
    name: str,
    path: str | Path,
    *,
    label: str = "",
    ignore: Sequence[str] = (),
    size: int = 0,
    regression: bool = False,
    replace: bool = False,
) -> Dataset:
    """Give a user's own data a name that works wherever a data set's name does.

    Kind, shapes, classes and splits are found by looking at the data. They are kept in a record
    beside them, ``PATH.velodrome.json``, with hashes, so that data that changed are refused.

    Args:
      path: An ``.npz`` or ``.csv`` file, a folder with a folder of images for each class, a text
        file, or ``hf:NAME`` for a data set of Hugging Face.
      label: Tables: the column of the labels. Default: ``label``, ``class`` or ``target``, else
        the last one.
      ignore: Tables: columns to leave out.
      size: Folders of images: height and width that all are resized to.
      regression: Tables: the labels are numbers to predict, even if they are whole.
      replace: Whether the name may stand for other data already.

    Raises:
      DataError: Something is wrong with the data; the message names the row or file. Or the name
        is taken.
      SpecError: The name has other characters than letters, digits, ``-`` and ``_``.

    Examples:
      >>> import numpy as np
      >>> np.savez("spots.npz", x=np.arange(720).reshape(20, 6, 6) % 256, y=np.arange(20) % 2)
      >>> spots = velodrome.add_data("spots", "spots.npz")
      >>> spots.info.shape, spots.info.split_sizes
      ((6, 6, 1), {'train': 16, 'heldout': 4})
    """
    options = Options(label, tuple(ignore), size, regression)
    return add(name, path, options, replace=replace).dataset


def add(name: str, path: str | Path, options: Options, *, replace: bool) -> Added:
    """Do what `add_data` does, and return more about it."""
    from velodrome.taskgen.data.own.read import read  # noqa: PLC0415 - imports pyarrow and pillow

    where = _where(path)
    names.check_name(name)
    _check_free(name, where, replace)
    try:
        source, stamp = _state(where)
        contents = read(where, options)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}.") from error
    reading = _reading(contents, options, source, stamp)
    before = None if replace else _before(name, where)
    if before is not None:
        _check_same(name, where, before, reading)
    replaced = _kept(name)
    entry = names.Entry(name, where)
    dataset = names.open_reading(entry, reading, dict(contents.splits))
    for split in contents.splits:
        dataset.load(split)  # into the cache
    record = write_reading(where, name, reading)
    names.write_entry(entry)
    # What is replaced goes last: whenever this process is killed, the name stands for something.
    if replaced is not None:
        path, arrays = replaced
        if path != where:
            write_reading(path, name, None)
        if arrays != cached_arrays(dataset.info):
            shutil.rmtree(arrays, ignore_errors=True)
    return Added(datasets.get(name), dict(reading.notes), record)


def named(data: str) -> Added | str:
    """Return the name of a data set; data that are given by their path are added if they are new.

    Raises:
      UnknownNameError: There is neither such a name nor such a file.
      DataError: As `add_data`.
    """
    if data in datasets:
        return data
    if data.startswith(HUB) or resolved(data).exists():
        name = names.name_of(data)
        entry = names.read_entry(name)
        if entry is not None and entry.path == _where(data):
            datasets.get(name)  # refuses data that have changed since
            return name
        return add(name, data, Options(), replace=False)
    if "/" in data or "." in data:
        raise DataError(f"there is no file or folder {data}.")
    raise UnknownNameError("data set", data, [*datasets.names(), *_KINDS])


def forget(name: str) -> None:
    """Remove a name that data were added under, and what is cached of them; not the data.

    Raises:
      DataError: No data were added under that name.
    """
    if name not in names.names():
        raise DataError(f"no data were added under the name {name!r}, so nothing is removed.")
    kept = _kept(name)
    if kept is not None:
        path, arrays = kept
        shutil.rmtree(arrays, ignore_errors=True)
        write_reading(path, name, None)
    names.entry_path(name).unlink(missing_ok=True)


def _kept(name: str) -> tuple[str, Path] | None:
    """Return the path of the data of a name, and the folder of their arrays; None if unknown."""
    try:
        entry = names.read_entry(name)
        reading = entry and read_record(record_path(entry.path)).get(name)
    except DataError:  # damaged: what it stood for is not known
        return None
    if entry is None or reading is None:
        return None
    return entry.path, cached_arrays(reading.info(name, entry.path))


def _where(path: str | Path) -> str:
    return str(path) if str(path).startswith(HUB) else str(resolved(path))


def _check_free(name: str, path: str, replace: bool) -> None:
    if name not in names.names():
        if name in datasets or name in _KINDS:
            raise DataError(
                f"the name {name!r} is taken by a data set that is not yours; choose another: "
                f"velodrome data add my-{name} {shlex.quote(path)}"
            )
        return
    entry = None if replace else names.read_entry(name)
    if entry is not None and entry.path != path:
        raise DataError(
            f"the name {name!r} is taken: it stands for {entry.path}. Choose another name, or give "
            "it to these data with --replace."
        )


def _before(name: str, path: str) -> Reading | None:
    """Return what is recorded of data that were added under a name, here or elsewhere."""
    return read_record(record_path(path)).get(name)


def _check_same(name: str, path: str, before: Reading, now: Reading) -> None:
    """Raise unless data that are added again are what they were."""
    replaced = names.again(names.Entry(name, path), now.options)
    if before.source != now.source:
        names.check_unchanged(names.Entry(name, path), before)
    if before.options != now.options:
        raise DataError(
            f"{path} was added as {name!r} with other options: "
            f"{before.options.arguments() or 'none'}. Choose another name, or replace it: "
            f"{replaced}"
        )
    if before.split_hashes != now.split_hashes:
        made = ", ".join(f"{package} {version}" for package, version in before.versions.items())
        raise DataError(
            f"{path} has other arrays than when it was added as {name!r} with {made}. Install "
            f"these versions, or replace it: {replaced}"
        )


def _state(path: str) -> tuple[str, str]:
    if path.startswith(HUB) or not Path(path).exists():
        return "", ""
    return source_hash(Path(path)), stamp_of(Path(path))


def _reading(contents: Contents, options: Options, source: str, stamp: str) -> Reading:
    arrays = contents.splits["train"]
    first = next(iter(arrays))  # examples, rows or tokens
    train = arrays[first]
    return Reading(
        options=options,
        kind=contents.kind,
        shape=tuple(map(int, train.shape[1:])),
        num_classes=len(contents.class_names),
        vocab_size=256 if contents.kind == "text" else 0,
        dtype=str(train.dtype),
        class_names=contents.class_names,
        split_sizes={split: len(arrays[first]) for split, arrays in contents.splits.items()},
        split_hashes={split: hash_arrays(arrays) for split, arrays in contents.splits.items()},
        source=source,
        stamp=stamp,
        notes=dict(contents.notes),
        added=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={package: importlib.metadata.version(package) for package in _PACKAGES},
        targets=arrays["target"].shape[1] if "target" in arrays else 0,
    )
