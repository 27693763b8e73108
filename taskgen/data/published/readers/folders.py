"""Food-101 and ImageNet as they are unpacked: folders of photographs, one folder a class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.images import decode
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader, fitted
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.published.splits import part_order

_Listed = tuple[list[str], list[Path], list[int]]  # keys in TFDS, files, labels


def open_food101(info: DatasetInfo, directory: Path) -> Reader | None:
    """Read Food-101 from the folder ``food-101``, or the one it is in."""
    for root in (directory, directory / "food-101"):
        meta = root / "meta"
        if (meta / "train.json").is_file():
            break
    else:
        return None
    try:
        classes = (meta / "classes.txt").read_text().split()
        lists = {
            "train": json.loads((meta / "train.json").read_text()),
            "validation": json.loads((meta / "test.json").read_text()),
        }
    except (OSError, ValueError) as error:
        raise DataError(f"{meta} is damaged: {error}. Unpack food-101.tar.gz again.") from error
    listed: dict[str, _Listed] = {}
    for split, by_class in lists.items():
        if set(by_class) != set(classes):
            raise DataError(f"the classes of {meta / 'classes.txt'} are not those of its lists.")
        keys = [key for names in by_class.values() for key in names]
        files = [root / "images" / f"{key}.jpg" for key in keys]
        listed[split] = keys, files, [classes.index(key.partition("/")[0]) for key in keys]
    return _reader(f"unpacked food-101 ({root})", info, listed, classes)


def open_imagenet(info: DatasetInfo, directory: Path) -> Reader | None:
    """Read ImageNet 2012 from ``train/WNID/*.JPEG`` and ``val/WNID/*.JPEG``."""
    if not ((directory / "train").is_dir() and (directory / "val").is_dir()):
        return None
    classes = sorted(path.name for path in (directory / "train").iterdir() if path.is_dir())
    listed: dict[str, _Listed] = {}
    for split, folder in (("train", "train"), ("validation", "val")):
        files = [
            file
            for name in classes
            for file in sorted((directory / folder / name).glob("*"))
            if file.suffix.lower() in (".jpeg", ".jpg")
        ]
        labels = [classes.index(name) for name in (file.parent.name for file in files)]
        listed[split] = [file.name for file in files], files, labels
    return _reader(f"folders of ImageNet ({directory})", info, listed, classes)


def _reader(
    form: str, info: DatasetInfo, listed: Mapping[str, _Listed], classes: Sequence[str]
) -> Reader:
    recipe = RECIPES[info.name]
    if len(classes) != info.num_classes:
        raise DataError(
            f"{info.name} has {info.num_classes} classes, but {form} has {len(classes)}. Give the "
            "whole data set."
        )
    for split, (keys, *_) in listed.items():
        if len(keys) != recipe.counts[split]:
            raise DataError(
                f"the {split} split of {info.name} has {recipe.counts[split]:,} images, but "
                f"{form} has {len(keys):,}. Give the whole data set."
            )
    made = {}
    for split, part in recipe.parts.items():
        keys, files, labels = listed[part.split]
        order = part_order(keys, part)
        label = np.asarray(labels, np.int32)[order]
        made[split] = _file_reader([files[at] for at in order], label, info)
    # Hashing the images would take as long as decoding them: the list of their names identifies
    # the source, and the content hash of what was decoded is recorded in the end.
    notes = {"images": content_hash({split: sorted(keys) for split, (keys, *_) in listed.items()})}
    return Reader(form, made, notes=notes)


def _file_reader(paths: Sequence[Path], label: np.ndarray, info: DatasetInfo) -> SplitReader:
    def read(start: int, stop: int) -> Arrays:
        images = [fitted(decode(path), info) for path in paths[start:stop]]
        return {"image": np.stack(images), "label": label[start:stop]}

    return SplitReader(len(paths), read)
