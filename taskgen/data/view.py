"""A split as a task sees it, on the host: all of it at once, or some examples at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.images import prepare_images, stays_bytes
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.text import INDEX_LIMIT, count_windows, example_rows, fold, window_rows
from velodrome.taskgen.views import ImageView, TableView, TextView, View


@dataclass(frozen=True)
class SplitView:
    """How to make the arrays that batches are gathered from.

    Attributes:
      size: Number of examples.
      nbytes: Bytes of all arrays together.
      facts: What decides the batches; part of the source's content hash.
      key: Equal for views of the same split that have equal arrays.
      whole: Makes the arrays of all examples.
      rows: ``rows(indices)`` makes the arrays of some examples, in that order.
    """

    size: int
    nbytes: int
    facts: Mapping[str, int | str]
    key: Hashable
    whole: Callable[[], Arrays]
    rows: Callable[[np.ndarray], Arrays]


def view_of(raw: Arrays, info: DatasetInfo, view: View, split: str, *, shift: int = 0) -> SplitView:
    """Return how a task sees the arrays ``raw`` of a split, with ``shift`` zeros around images.

    Raises:
      DataError: The split is too short, too long, or lacks the channels of the view.
    """
    if isinstance(view, ImageView):
        return _images(raw, view, shift)
    if isinstance(view, TableView):
        return _table(raw)
    # A vocabulary larger than that of the data changes nothing: arrays and hash are shared.
    vocab_size = min(view.vocab_size, info.vocab_size)
    what = f"the {split} split of {info.name!r}"
    if info.layout == "examples":
        return _examples(raw, info, view.length, vocab_size, what)
    return _windows(raw, view.length, vocab_size, what)


def count_examples(info: DatasetInfo, view: View, split: str) -> int | None:
    """Count the examples of a split as a task sees it, without loading it; None if not known.

    Raises:
      DataError: The text is too short for one sequence.
    """
    size = info.split_sizes.get(split)
    if size is None or not isinstance(view, TextView) or info.layout == "examples":
        return size
    return count_windows(size, view.length, f"the {split} split of {info.name!r}")


def _images(raw: Arrays, view: ImageView, shift: int) -> SplitView:
    options = {"size": view.size, "channels": view.channels, "shift": shift}
    prepare = functools.partial(prepare_images, **options)
    image, label = raw["image"], raw["label"]
    prepare({"image": image[:0], "label": label[:0]})  # refuses impossible channels now

    def rows(indices: np.ndarray) -> Arrays:
        # Read in the order of the file: neighbours lie in one page.
        order = np.argsort(indices, kind="stable")
        found = prepare({"image": image[indices[order]], "label": label[indices[order]]})
        back = np.argsort(order, kind="stable")
        return {name: array[back] for name, array in found.items()}

    pixel = 1 if stays_bytes(image, size=view.size, channels=view.channels) else 4
    side = view.size + 2 * shift
    return SplitView(
        size=len(label),
        nbytes=len(label) * (side * side * view.channels * pixel + label.itemsize),
        facts={"size": view.size, "channels": view.channels},
        key=("image", *options.values()),
        whole=lambda: prepare(raw),
        rows=rows,
    )


def _table(raw: Arrays) -> SplitView:
    return SplitView(
        size=len(raw["label"]),
        nbytes=raw["row"].nbytes + raw["label"].nbytes,
        facts={"layout": "table"},
        key="table",
        whole=lambda: raw,
        rows=lambda indices: {name: array[indices] for name, array in raw.items()},
    )


def _windows(raw: Arrays, length: int, vocab_size: int, what: str) -> SplitView:
    tokens = raw["tokens"]
    return SplitView(
        size=count_windows(tokens.shape[0], length, what),
        nbytes=tokens.nbytes,
        facts={"length": length, "vocab_size": vocab_size},
        key=("windows", vocab_size),
        whole=lambda: {"tokens": fold(tokens, vocab_size)},
        rows=functools.partial(window_rows, raw, length=length, vocab_size=vocab_size),
    )


def _examples(raw: Arrays, info: DatasetInfo, length: int, vocab_size: int, what: str) -> SplitView:
    if info.example_tokens and length + 1 > info.example_tokens:
        raise DataError(
            f"only the first {info.example_tokens} tokens are kept of each text of {what}, not "
            f"enough for a sequence of {length} and the token after it; choose a sequence length "
            f"of at most {info.example_tokens - 1}."
        )
    size = len(raw["offsets"]) - 1
    if size >= INDEX_LIMIT:
        raise DataError(f"{what} has {size} texts; at most {INDEX_LIMIT - 1} can be indexed.")
    rows = functools.partial(example_rows, raw, length=length, vocab_size=vocab_size)
    return SplitView(
        size=size,
        nbytes=size * (length + 1) * raw["tokens"].itemsize,
        facts={"layout": "examples", "length": length, "vocab_size": vocab_size},
        key=("examples", length, vocab_size),
        whole=lambda: rows(None),
        rows=rows,
    )
