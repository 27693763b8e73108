"""Data sets that tensorflow-datasets (TFDS) prepared, read without TensorFlow.

They are stored as TFRecord, or as ArrayRecord; examples have the same order and bytes in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader
from velodrome.taskgen.data.published.readers.tfdsexamples import to_arrays
from velodrome.taskgen.data.published.readers.tfrecord import Piece, read_records
from velodrome.taskgen.data.published.readers.tokens import Encode
from velodrome.taskgen.data.published.recipes import RECIPES, Recipe
from velodrome.taskgen.data.published.splits import Part

_INFO = "dataset_info.json"

# What TFDS, array_record and the parser of its examples raise for damaged files.
_ERRORS = (OSError, ValueError, RuntimeError, KeyError)


def find_folder(directory: Path, tfds: str) -> Path | None:
    """Return the folder of the newest version of a prepared data set; None if there is none.

    Args:
      directory: A TFDS ``data_dir``, or the folder of the data set, or of one version of it.
      tfds: Names the data set.
    """
    for base in (directory / tfds, directory):
        if (base / _INFO).is_file():
            return base
        versions = [path.parent for path in base.glob(f"*/{_INFO}")]
        if versions:
            return max(versions, key=lambda path: _version(path.name))
    return None


def _version(name: str) -> tuple[int, ...]:
    parts = name.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def open_tfds(info: DatasetInfo, directory: Path, *, encode: Encode | None) -> Reader | None:
    """Read a data set that TFDS has prepared; see :func:`find_folder`.

    A split may be of another data set than the rest: then ``directory`` is a ``data_dir``.
    """
    recipe = RECIPES[info.name]
    folder = find_folder(directory, recipe.tfds)
    if folder is None:
        return None
    names = dict.fromkeys(part.builder or recipe.tfds for part in recipe.parts.values())
    builders = {name: _open_builder(info, directory, name) for name in names}
    main = builders[recipe.tfds].info
    made, notes = {}, {"tfds": main.full_name, "version": str(main.version)}
    for split, part in recipe.parts.items():
        builder = builders[part.builder or recipe.tfds]
        _check_count(recipe, part, builder)
        made[split] = _split(info, builder, part, encode)
        if part.builder:
            notes[f"tfds of {split}"] = builder.info.full_name
    return Reader(f"TFDS folder ({folder})", made, notes=notes)


def _open_builder(info: DatasetInfo, directory: Path, name: str) -> Any:
    folder = find_folder(directory, name)
    if folder is None:
        raise DataError(f"{directory} has no folder {name} of tensorflow-datasets.")
    import tensorflow_datasets as tfds  # noqa: PLC0415 - takes seconds; most sources do not need it

    builder: Any = tfds.builder_from_directory(str(folder))
    found = "/".join(filter(None, (builder.info.name, builder.info.config_name)))
    if found != name:
        raise DataError(
            f"{folder} has the data set {found!r} of tensorflow-datasets, but {info.name} is made "
            f"of {name!r}."
        )
    stored = builder.info.file_format.value
    if stored not in ("array_record", "tfrecord"):
        raise DataError(
            f"{folder} is stored as {stored}, which only TensorFlow can read. Prepare it again "
            "with `file_format='array_record'`: `velodrome data prepare` does so, and so does "
            f"`tfds build {name} --file_format=array_record`."
        )
    return builder


def _check_count(recipe: Recipe, part: Part, builder: Any) -> None:
    wanted = recipe.counts.get(part.split)
    splits = builder.info.splits
    found = splits[part.split].num_examples if part.split in splits else 0
    if wanted is not None and found != wanted:
        raise DataError(
            f"the {part.split} split of {builder.info.full_name} has {wanted:,} examples, but "
            f"{builder.data_path} has {found:,}. Prepare the whole data set."
        )


def _split(info: DatasetInfo, builder: Any, part: Part, encode: Encode | None) -> SplitReader:
    damaged = f"{builder.data_path} is damaged ({{}}); copy it again, or prepare it again."
    opened = _open_tfrecords if builder.info.file_format.value == "tfrecord" else _open_arrayrecords
    try:
        count, examples = opened(builder, part.instruction)
    except _ERRORS as error:
        raise DataError(damaged.format(error)) from error

    def read(start: int, stop: int) -> Arrays:
        try:
            found = examples(start, stop)
        except _ERRORS as error:
            raise DataError(damaged.format(error)) from error
        return to_arrays(info, found, encode)

    return SplitReader(count, read)


Opened = tuple[int, Callable[[int, int], Sequence[Any]]]  # how many, and examples by their numbers


def _open_arrayrecords(builder: Any, instruction: str) -> Opened:
    source = builder.as_data_source(split=instruction)
    return len(source), lambda start, stop: source.__getitems__(list(range(start, stop)))


def _open_tfrecords(builder: Any, instruction: str) -> Opened:
    split = builder.info.splits[instruction]
    pieces = [
        Piece(Path(file.filename), file.skip, file.examples_in_shard - file.skip)
        if file.take < 0
        else Piece(Path(file.filename), file.skip, file.take)
        for file in split.file_instructions
    ]
    parse = builder.info.features.deserialize_example_np
    return split.num_examples, lambda start, stop: [
        parse(record) for record in read_records(pieces, start, stop)
    ]
