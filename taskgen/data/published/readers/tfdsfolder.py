"""Data sets that tensorflow-datasets (TFDS) prepared as ArrayRecord, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader, fitted
from velodrome.taskgen.data.published.readers.tokens import Encode, tokenize
from velodrome.taskgen.data.published.recipes import RECIPES, Recipe

_INFO = "dataset_info.json"


def find_folder(directory: Path, recipe: Recipe) -> Path | None:
    """Return the folder of the newest version of a prepared data set; None if there is none.

    Args:
      directory: A TFDS ``data_dir``, or the folder of the data set, or of one version of it.
      recipe: Names the data set.
    """
    for base in (directory / recipe.tfds, directory):
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
    """Read a data set that TFDS has prepared as ArrayRecord; see :func:`find_folder`."""
    recipe = RECIPES[info.name]
    folder = find_folder(directory, recipe)
    if folder is None:
        return None
    import tensorflow_datasets as tfds  # noqa: PLC0415 - takes seconds; most sources do not need it

    builder: Any = tfds.builder_from_directory(str(folder))
    found = "/".join(filter(None, (builder.info.name, builder.info.config_name)))
    if found != recipe.tfds:
        raise DataError(
            f"{folder} has the data set {found!r} of tensorflow-datasets, but {info.name} is made "
            f"of {recipe.tfds!r}."
        )
    stored = builder.info.file_format.value
    if stored != "array_record":
        raise DataError(
            f"{folder} is stored as {stored}, which only TensorFlow can read. Prepare it again "
            "with `file_format='array_record'`: `velodrome data prepare` does so, and so does "
            f"`tfds build {recipe.tfds} --file_format=array_record`."
        )
    for split, count in recipe.counts.items():
        found = builder.info.splits[split].num_examples if split in builder.info.splits else 0
        if found != count:
            raise DataError(
                f"the {split} split of {recipe.tfds} has {count:,} examples, but {folder} has "
                f"{found:,}. Prepare the whole data set."
            )
    made = {
        split: _split(info, folder, partial(builder.as_data_source, split=part.instruction), encode)
        for split, part in recipe.parts.items()
    }
    notes = {"tfds": builder.info.full_name, "version": str(builder.info.version)}
    return Reader(f"TFDS folder ({folder})", made, notes=notes)


def _split(
    info: DatasetInfo, folder: Path, open_source: Callable[[], Any], encode: Encode | None
) -> SplitReader:
    damaged = f"{folder} is damaged ({{}}); copy it again, or prepare it again."
    try:
        source = open_source()
    except (OSError, ValueError, RuntimeError) as error:  # what array_record raises
        raise DataError(damaged.format(error)) from error

    def read(start: int, stop: int) -> Arrays:
        try:
            examples = source.__getitems__(list(range(start, stop)))
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(damaged.format(error)) from error
        if encode is not None:
            texts = [_bytes(example["text"]) for example in examples]
            return tokenize(texts, encode, keep=info.example_tokens)
        images = [_image(info, example["image"]) for example in examples]
        labels = np.asarray([int(example["label"]) for example in examples], np.int32)
        return {"image": np.stack(images), "label": labels}

    return SplitReader(len(source), read)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def _image(info: DatasetInfo, image: np.ndarray) -> np.ndarray:
    if RECIPES[info.name].tfds in ("food101", "imagenet2012"):
        return fitted(image, info)
    if image.shape != info.shape or image.dtype != np.uint8:
        raise DataError(
            f"an image of {info.name} is {image.dtype} {image.shape}, but must be uint8 "
            f"{info.shape}: this is another data set."
        )
    return image
