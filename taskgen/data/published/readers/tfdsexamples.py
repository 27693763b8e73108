"""From the examples of a data set in tensorflow-datasets (TFDS) to the arrays of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import SIDES, fitted
from velodrome.taskgen.data.published.readers.tokens import Encode, tokenize
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.ragged import offsets_of

Examples = Sequence[Mapping[str, Any]]  # as TFDS returns them: arrays, numbers and bytes


def to_arrays(info: DatasetInfo, examples: Examples, encode: Encode | None) -> Arrays:
    """Return the arrays of some examples; ``encode`` is needed where they have text."""
    return _BY_KIND[info.kind](info, examples, encode)


def _images(info: DatasetInfo, examples: Examples, encode: Encode | None) -> Arrays:
    del encode
    images = [_image(info, example["image"]) for example in examples]
    labels = np.asarray([int(example["label"]) for example in examples], np.int32)
    return {"image": np.stack(images), "label": labels}


def _image(info: DatasetInfo, image: np.ndarray) -> np.ndarray:
    if RECIPES[info.name].tfds in ("food101", "imagenet2012"):
        return fitted(image, info)
    if image.shape != info.shape or image.dtype != np.uint8:
        raise DataError(
            f"an image of {info.name} is {image.dtype} {image.shape}, but must be uint8 "
            f"{info.shape}: this is another data set."
        )
    return image


def _texts(info: DatasetInfo, examples: Examples, encode: Encode | None) -> Arrays:
    assert encode is not None  # it is text
    texts = (_bytes(example["text"]) for example in examples)
    return tokenize(texts, encode, keep=info.example_tokens)


def _pairs(info: DatasetInfo, examples: Examples, encode: Encode | None) -> Arrays:
    assert encode is not None  # it is text
    made: Arrays = {}
    for side, language in SIDES.items():
        found = tokenize((_bytes(example[language]) for example in examples), encode)
        made |= {side: found["tokens"], f"{side}_offsets": found["offsets"]}
    return made


def _graphs(info: DatasetInfo, examples: Examples, encode: Encode | None) -> Arrays:
    """Return graphs with each edge in both directions: first all, then all back."""
    del encode
    parts: dict[str, list[np.ndarray]] = {"node": [], "edge": [], "sender": [], "receiver": []}
    for example in examples:
        ends = np.asarray(example["edge_index"], np.int32)
        parts["node"].append(np.asarray(example["node_feat"], np.float32))
        parts["edge"] += [np.asarray(example["edge_feat"], np.float32)] * 2
        parts["sender"] += [ends[:, 0], ends[:, 1]]
        parts["receiver"] += [ends[:, 1], ends[:, 0]]
    label = np.stack([np.asarray(example["labels"], np.float32) for example in examples])
    known = np.isfinite(label)
    return {
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        "node_offsets": offsets_of(map(len, parts["node"])),
        "edge_offsets": offsets_of(2 * len(each) for each in parts["edge"][::2]),
        "label": np.where(known, label, np.float32(0)),
        "weight": known.astype(np.float32),
    }


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


_BY_KIND: Mapping[str, Callable[[DatasetInfo, Examples, Encode | None], Arrays]] = {
    "image": _images,
    "text": _texts,
    "pair": _pairs,
    "graph": _graphs,
}
