"""Read a folder with a folder of images for each class."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from velodrome.foundation.errors import DataError
from velodrome.foundation.text import plural, size
from velodrome.taskgen.data.images import resize_bilinear
from velodrome.taskgen.data.own.contents import (
    RULE,
    Contents,
    Options,
    check_count,
    check_held_out,
    classes_of,
    glimpse,
    hold_out,
    split,
)
from velodrome.taskgen.data.own.imagefiles import SUFFIXES, image_files

TRAIN = ("train", "training")
HELD = ("test", "testing", "val", "valid", "validation", "heldout")

MOST_BYTES = 2**32
"""All images are in memory while they are read."""


def read_folder(folder: Path, options: Options) -> Contents:
    """Read ``folder/CLASS/image.png``, or ``folder/train/CLASS/...`` and ``folder/test/CLASS/...``.

    Images are grey if all are, else RGB; transparency is dropped.

    Raises:
      DataError: There are no folders of classes, or an image cannot be read or has another size.
    """
    inside = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    train = next((inside[name] for name in TRAIN if name in inside), None)
    held = next((inside[name] for name in HELD if name in inside), None)
    if (train is None) != (held is None) and (train or held):
        there, other = ("train", "test") if train else (str(held and held.name), "train")
        raise DataError(
            f"{folder.name} has a folder {there!r}, but none named {other!r}: give both, or the "
            "folders of the classes alone, of which a fifth is then held out."
        )
    parts = [folder] if train is None or held is None else [train, held]
    files = [_classes(part) for part in parts]
    paths = [path for part in files for path in part]
    check_count(folder.name, "images in folders of classes", len(files[0]))
    places = [str(path.relative_to(folder)) for path in paths]
    words = np.array(
        [
            path.relative_to(part).parts[0]
            for part, some in zip(parts, files, strict=True)
            for path in some
        ]
    )
    labels, names = classes_of(words, lambda at: places[at], f"the folders of {folder.name}")
    training = hold_out(labels) if len(parts) == 1 else np.arange(len(paths)) < len(files[0])
    check_held_out(labels, training, names, folder.name)
    # Only now: what is no data set is more often found to have no classes than other sizes.
    images = as_one_size(map(decode, paths, places), places, options.size, folder.name)
    notes = {
        "split": RULE if len(parts) == 1 else f"the folder {parts[1].name!r} is held out",
        "size": f"resized to {options.size}x{options.size}" if options.size else "as in the files",
    }
    others = sum(path.is_file() for part in parts for path in part.rglob("*")) - len(paths)
    if others:
        notes["left out"] = plural(others, "file") + " that are no images in folders of classes"
    return Contents("image", split({"image": images, "label": labels}, training), names, notes)


def _classes(folder: Path) -> list[Path]:
    files = [path for path in image_files(folder) if path.parent != folder]
    if not files:
        loose = len(image_files(folder))
        raise DataError(
            f"{folder} has no images in folders of classes"
            + (f", but {plural(loose, 'image')} of no class" if loose else "")
            + f". Put the images ({glimpse([suffix[1:] for suffix in SUFFIXES])}) of each class "
            "into a folder with the name of the class."
        )
    return files


def as_one_size(
    images: Iterable[np.ndarray], places: Sequence[str], side: int, where: str
) -> np.ndarray:
    """Return images u8[H,W,C], C being 1 or 3, as u8[N,H,W,C]: grey if all are, else RGB.

    Args:
      places: Names the images in messages.
      side: Height and width that all are resized to; 0 keeps them.
      where: What holds the images, for messages.
    """
    made: list[np.ndarray] = []
    total = 0
    for image, place in zip(images, places, strict=True):
        if side:
            image = np.rint(resize_bilinear(image[None], side)[0]).astype(np.uint8)
        if made and image.shape[:2] != made[0].shape[:2]:
            raise DataError(
                f"{place} has {_pixels(image.shape)} pixels, but {places[0]} has "
                f"{_pixels(made[0].shape)}: all images must have one size. `--size 32` resizes "
                "all to 32x32 pixels."
            )
        total += image.nbytes
        if total > MOST_BYTES:
            raise DataError(
                f"the images of {where} take more than {size(MOST_BYTES)}; `--size 64` resizes all "
                "to 64x64 pixels."
            )
        made.append(image)
    if all(image.shape[2] == 1 for image in made):
        return np.stack(made)
    return np.stack([np.broadcast_to(image, (*image.shape[:2], 3)) for image in made])


def decode(path: Path, name: str) -> np.ndarray:
    """Decode a file to u8[H,W,1] if it is grey, else to u8[H,W,3]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which some photographs have
            with Image.open(path) as picture:
                if picture.mode[0] in "IF":  # converting would cut them off at 255
                    raise ValueError(f"it has pixels of mode {picture.mode}, not of 8 bits")
                grey = picture.mode in ("1", "L", "LA")
                image = np.asarray(picture.convert("L" if grey else "RGB"))
    # What pillow raises for damaged files; the last one for images of a size beyond reason.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"the image {name} cannot be read: {error}. Convert, replace or remove it."
        ) from error
    return image[..., None] if grey else image


def _pixels(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
