"""Images and tables in arrays: brought to the types and ranges of a data set."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.own.answers import MOST, answers_of
from velodrome.taskgen.data.own.contents import (
    RULE,
    Contents,
    check_count,
    check_held_out,
    classes_of,
    hold_out,
    split,
)
from velodrome.taskgen.data.tables import standardised

_MOST_CHANNELS = 4
"""A last axis of more is no axis of colours, where another one may be."""


_ROUNDING = 1e-3
"""Pixels that were divided by 255 differ from whole numbers by less, and become bytes again."""


def labelled(
    x: np.ndarray,
    y: np.ndarray,
    held: tuple[np.ndarray, np.ndarray] | None,
    where: str,
    *,
    regression: bool = False,
) -> Contents:
    """Make a data set of examples [N,...] and their labels [N], and of those to hold out, if any.

    Labels of rows may be numbers to predict: with ``regression``, or if they are not whole.

    Raises:
      DataError: Shapes, types or values are wrong; the message has the first bad example.
    """
    parts = [(x, y)] if held is None else [(x, y), held]
    for at, (some, labels) in enumerate(parts):
        _check_shapes(some, labels, where, parts[0][0], "held out" if at else "for training")
    check_count(where, "examples", len(x))
    everything = np.concatenate([part[0] for part in parts])
    given = np.concatenate([part[1].reshape(-1) for part in parts])
    place, words = (lambda at: f"label {at} of {where}"), f"the labels of {where}"
    held_out = 0 if held is None else len(held[0])
    if everything.ndim == 2:
        answers = answers_of(given, place, words, regression=regression)
        train = answers.training(held_out, where)
        rows = standardised(_numbers(everything, where), train)
        notes = answers.notes(train, "", held=held_out)
        notes["scale"] = "every column has mean 0 and variance 1 in the train split"
        arrays = {"row": rows, **answers.arrays(train)}
        return Contents("table", split(arrays, train), answers.class_names, notes)
    if regression:
        raise DataError(f"{where} has images: --regression is for tables only; leave it out.")
    labels, names = classes_of(given, place, words)
    train = hold_out(labels) if held is None else np.arange(len(given)) < len(x)
    check_held_out(labels, train, names, where)
    notes = {"split": RULE if held is None else "the held-out examples come with the data"}
    images, how = _pixels(everything, where)
    made: Arrays = {"image": images, "label": labels}
    return Contents("image", split(made, train), names, notes | how)


def _check_shapes(x: np.ndarray, y: np.ndarray, where: str, first: np.ndarray, which: str) -> None:
    if x.dtype.kind not in "buif":
        raise DataError(f"the examples of {where} are of type {x.dtype}, not numbers.")
    if x.ndim not in (2, 3, 4) or 0 in x.shape[1:]:
        raise DataError(
            f"the examples {which} of {where} have the shape {list(x.shape)}: give [N, height, "
            "width] or [N, height, width, channels] for images, or [N, columns] for a table."
        )
    if x.shape[1:] != first.shape[1:]:
        raise DataError(
            f"{where} has examples for training of the shape {list(first.shape[1:])}, but held-out "
            f"ones of {list(x.shape[1:])}."
        )
    if y.size != len(x) or y.ndim > 2:
        hint = " One-hot labels become whole numbers by y.argmax(1)." if y.ndim == 2 else ""
        raise DataError(
            f"{where} has {len(x):,} examples {which}, but labels of the shape {list(y.shape)}: "
            f"give one whole number or word for each.{hint}"
        )


def _numbers(values: np.ndarray, where: str) -> np.ndarray:
    numbers = values.astype(np.float64)
    bad = ~(np.abs(numbers) <= MOST)
    for at in np.flatnonzero(bad.any(axis=1))[:1]:
        column = int(np.flatnonzero(bad[at])[0])
        raise DataError(
            f"row {at} of {where} has {numbers[at, column]} in column {column}; numbers are "
            f"finite, and at most {MOST:g}."
        )
    return numbers


def _pixels(images: np.ndarray, where: str) -> tuple[np.ndarray, dict[str, str]]:
    """Return images as u8[N,H,W,C], or as f32 from 0 to 255, and what was done."""
    notes = {}
    if images.ndim == 3:
        images = images[..., None]
    elif images.shape[3] > _MOST_CHANNELS and images.shape[1] <= _MOST_CHANNELS:
        images = images.transpose(0, 2, 3, 1)
        notes["channels"] = "they came first, and were moved to the last axis"
    bad = ~((images >= 0) & (images <= 255)).reshape(len(images), -1).all(axis=1)
    for at in np.flatnonzero(bad)[:1]:
        pixels = images[at].reshape(-1)
        worst = pixels[~((pixels >= 0) & (pixels <= 255))][0]
        raise DataError(
            f"image {at} of {where} has the pixel {worst}: pixels are from 0 to 255, or from 0 to "
            "1. Bring them to one of these, such as by (x - x.min()) / (x.max() - x.min()), and "
            "remove images that are damaged."
        )
    low, high = images.min(), images.max()
    notes["pixels"] = f"from {low} to {high} in the file"
    if high <= 1:
        notes["pixels"] += ", stored as 0 to 255"
        images = images * np.float64(255)
    if images.dtype.kind == "f" and np.abs(images - np.rint(images)).max() > _ROUNDING:
        return np.ascontiguousarray(images, np.float32), notes
    return np.ascontiguousarray(np.rint(images), np.uint8), notes
