"""What reading a user's data gives, and by which rule a part of them is held out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.order import permutation

HUB = "hf:"
"""How the addresses of data sets at Hugging Face begin."""

FEWEST = 10
"""Examples that a data set must have."""

LARGEST_LABEL = 2.0**53
"""Floats above it are not the whole numbers that they seem to be."""

RULE = "a fifth of each class is held out, drawn by a fixed rule"


@dataclass(frozen=True)
class Options:
    """How data are read, where that cannot be seen from them.

    Attributes:
      label: Tables: the column of the labels; empty where it is found by its name.
      ignore: Tables: columns that are left out.
      size: Folders of images: height and width that all are resized to; 0 keeps them.
      regression: Tables: the labels are numbers to predict, even if they are whole.
    """

    label: str = ""
    ignore: tuple[str, ...] = ()
    size: int = 0
    regression: bool = False

    def arguments(self) -> str:
        """Return the options as a shell gives them to the command; empty without any."""
        given = {"--label": self.label, "--ignore": ",".join(self.ignore), "--size": self.size}
        words = [str(word) for pair in given.items() if pair[1] for word in pair]
        return shlex.join([*words, *(["--regression"] if self.regression else [])])


@dataclass(frozen=True)
class Contents:
    """Data that were read.

    Attributes:
      kind: "image", "text" or "table".
      splits: The arrays of "train" and "heldout"; see `velodrome.Dataset`.
      notes: What was inferred, in words, by what it is about.
    """

    kind: str
    splits: Mapping[str, Arrays]
    class_names: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def hold_out(labels: np.ndarray) -> np.ndarray:
    """Return bool[N], which examples are for training: four fifths of each class, at random.

    The draw is the same on every machine. At least one example of a class that has two is held
    out; of a class that has one, none.
    """
    train = np.ones(len(labels), bool)
    order = permutation(len(labels), seed=0, stream=0)
    # One sort for all classes, of which there may be many.
    order = order[np.argsort(labels[order], kind="stable")]
    borders = np.flatnonzero(np.diff(labels[order])) + 1
    for mine in np.split(order, borders):
        held = 0 if len(mine) < 2 else max(1, round(len(mine) / 5))
        train[mine[:held]] = False
    return train


def check_count(where: str, what: str, count: int) -> None:
    """Raise a `DataError` if there are too few examples (``what``, in the plural)."""
    if count < FEWEST:
        raise DataError(f"{where} has {count} {what}; at least {FEWEST} are needed.")


def check_held_out(
    labels: np.ndarray, train: np.ndarray, class_names: Sequence[str], where: str
) -> None:
    """Raise a `DataError` if nothing is held out, or an example of a class that is not trained on.

    Held-out examples are counted from 0.
    """
    held = labels[~train]
    if not len(held):
        raise DataError(f"{where} comes with held-out examples, but there are none of them.")
    unseen = ~np.isin(held, labels[train])
    for at in np.flatnonzero(unseen)[:1]:
        raise DataError(
            f"held-out example {at} of {where} has the label {class_names[int(held[at])]!r}, which "
            "no example for training has."
        )


def split(arrays: Arrays, train: np.ndarray) -> dict[str, Arrays]:
    """Cut arrays into the splits, in the order of the examples."""
    parts = {"train": train, "heldout": ~train}
    return {
        name: {key: np.ascontiguousarray(array[part]) for key, array in arrays.items()}
        for name, part in parts.items()
    }


def classes_of(
    values: np.ndarray, place: Callable[[int], str], where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels i32[N] from 0 and what they stand for: integers by size, words by alphabet.

    Args:
      values: [N], one of each example; numbers must be whole.
      place: Says where the label of an example stands, for messages.
      where: What holds the labels, for messages.

    Raises:
      DataError: There is one class only, or the values are no classes.
    """
    if values.dtype.kind == "f":
        for at in np.flatnonzero(~np.isfinite(values))[:1]:
            raise DataError(f"{place(int(at))} is {values[at]}: every example needs a label.")
        no_class = (values != np.round(values)) | (np.abs(values) > LARGEST_LABEL)
        for at in np.flatnonzero(no_class)[:1]:
            raise DataError(
                f"{place(int(at))} is {values[at]}, which is no class. Labels are whole numbers or "
                "words; numbers are predicted for tables only. Turn them into classes."
            )
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuUb":
        raise DataError(f"{where} are of type {values.dtype}, not whole numbers or words.")
    found, labels = np.unique(values, return_inverse=True)
    if len(found) < 2:
        raise DataError(
            f"{where} have one class only, {str(found[0])!r}: nothing can be learned from that. "
            "Give labels of two classes or more."
        )
    if 2 * len(found) > len(values):
        raise DataError(
            f"{where} have {len(found):,} different values for {len(values):,} examples, so they "
            "are no classes. Give the column of the classes (--label COLUMN), or say that these "
            "are numbers to predict (--regression)."
        )
    return labels.reshape(-1).astype(np.int32), tuple(str(value) for value in found)


def glimpse(words: Sequence[str], most: int = 8) -> str:
    """Return the first of some words, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def no_use(value: object, option: str, what: str) -> None:
    """Raise a `DataError` if an option is given that is of use for other data only."""
    if value:
        raise DataError(f"{option} is for {what} only; leave it out.")
