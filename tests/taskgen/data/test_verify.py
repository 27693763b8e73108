"""Data sets that are not what they declare: each is refused, and the first bad example named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.source import open_view
from velodrome.taskgen.data.verify import verify
from velodrome.taskgen.views import ImageView

Arrays = dict[str, np.ndarray]
FACTS: dict[str, dict[str, Any]] = {
    "image": {"kind": "image", "shape": (2, 2, 1), "num_classes": 3},
    "float": {"kind": "image", "shape": (2, 2, 1), "num_classes": 3, "dtype": "float32"},
    "table": {"kind": "table", "shape": (2,), "num_classes": 3, "dtype": "float32"},
    "stream": {"kind": "text", "vocab_size": 9},
    "texts": {"kind": "text", "vocab_size": 9, "layout": "examples", "example_tokens": 3},
}


def arrays_of(form: str) -> Arrays:
    if form in ("image", "float"):
        pixels = np.arange(20).reshape(5, 2, 2, 1)
        dtype = np.uint8 if form == "image" else np.float32
        return {"image": pixels.astype(dtype), "label": np.array([0, 1, 2, 0, 1], np.int32)}
    if form == "table":
        rows = np.arange(10, dtype=np.float32).reshape(5, 2)
        return {"row": rows, "label": np.array([0, 1, 2, 0, 1], np.int32)}
    tokens = np.arange(8, dtype=np.uint8)
    return {"tokens": tokens} if form == "stream" else {"tokens": tokens, "offsets": offsets()}


def offsets(*values: int) -> np.ndarray:
    return np.array(values or (0, 3, 5, 8), np.int64)


def dataset_of(form: str, load: Callable[[str], Any] | None = None, **facts: Any) -> Dataset:
    """Make a data set that is what it declares, unless ``load`` or ``facts`` say otherwise."""
    arrays = arrays_of(form)
    known = {
        "split_sizes": dict.fromkeys(("train", "heldout"), {"stream": 8, "texts": 3}.get(form, 5)),
        "split_hashes": dict.fromkeys(("train", "heldout"), hash_arrays(arrays)),
        **FACTS[form],
        **facts,
    }
    info = DatasetInfo(name="toy", licence="", origin="", provenance="stand-in", **known)
    return Dataset(info, load or (lambda split: arrays))


@pytest.mark.parametrize("form", FACTS)
def test_data_that_are_as_declared_pass(form: str):
    verify(dataset_of(form))


@pytest.mark.parametrize(
    "name", ["breast_cancer", "digits", "mnist5k", "photos", "kjv", "stand-in:mnist"]
)
def test_built_in_and_generated_data_are_as_declared(name: str):
    verify(datasets.get(name))


def put(name: str, index: Any, value: float) -> Callable[[Arrays], Arrays]:
    def change(arrays: Arrays) -> Arrays:
        changed = arrays[name].copy()
        changed[index] = value
        return {**arrays, name: changed}

    return change


#: What is wrong, and what must be said of it.
WRONG: dict[str, tuple[str, Callable[[Arrays], Any], str]] = {
    "label": ("image", put("label", 3, 3), "has 3 among its labels, at 3; they are from 0 to 2"),
    "below": ("image", put("label", 1, -1), "has -1 among its labels, at 1"),
    "NaN": ("float", put("image", (4, 1), np.nan), "has the pixel nan in example 4"),
    "infinity": ("float", put("image", (2, 0), np.inf), "has the pixel inf in example 2"),
    "range": ("float", put("image", (0, 0), -0.5), "has the pixel -0.5 in example 0"),
    "floats": (
        "image",
        lambda a: {**a, "image": a["image"] / 255},
        "has images of float64, but uint8 is declared",
    ),
    "shape": (
        "image",
        lambda a: {**a, "image": a["image"][:, :1]},
        "images of the shape [1, 2, 1], but [2, 2, 1] is declared",
    ),
    "flat": ("image", lambda a: {**a, "image": a["image"][0]}, "images of the shape [2, 1]"),
    "fewer": (
        "image",
        lambda a: {name: array[:4] for name, array in a.items()},
        "has 4 images, but 5 are declared",
    ),
    "unequal": ("image", lambda a: {**a, "label": a["label"][1:]}, "has 5 images, but 4 labels"),
    "one-hot": (
        "image",
        lambda a: {**a, "label": np.eye(3, dtype=np.int32)[a["label"]]},
        "labels that are int32 of the shape [5, 3], not a row of integers",
    ),
    "float labels": (
        "image",
        lambda a: {**a, "label": a["label"] / 2},
        "labels that are float64 of the shape [5]",
    ),
    "name": ("image", lambda a: {"images": a["image"], "label": a["label"]}, "['images', 'label']"),
    "list": ("image", lambda a: {**a, "label": [0] * 5}, "has a list as 'label'"),
    "nothing": ("image", lambda a: None, "gave NoneType, not a mapping with 'image' and 'label'"),
    "NaN row": (
        "table",
        put("row", (3, 1), np.nan),
        "a value that is not finite among its rows, at 3",
    ),
    "row label": ("table", put("label", 2, 7), "has 7 among its labels, at 2"),
    "columns": (
        "table",
        lambda a: {**a, "row": a["row"][:, :1]},
        "has rows float32[5, 1], but float32[N, 2] is declared",
    ),
    "token": ("stream", put("tokens", 6, 9), "has 9 among its tokens, at 6; they are from 0 to 8"),
    "float tokens": ("stream", lambda a: {"tokens": a["tokens"] + 0.5}, "tokens that are float64"),
    "shorter": (
        "stream",
        lambda a: {"tokens": a["tokens"][:7]},
        "has 7 tokens, but 8 are declared",
    ),
    "text token": ("texts", put("tokens", 0, 200), "has 200 among its tokens, at 0"),
    "falling": (
        "texts",
        lambda a: {**a, "offsets": offsets(0, 5, 3, 8)},
        "has offsets that fall at 2, from 5 to 3",
    ),
    "beyond": ("texts", lambda a: {**a, "offsets": offsets(0, 3, 5, 9)}, "has 9 among its offsets"),
    "unsigned": (
        "texts",
        lambda a: {**a, "offsets": offsets(0, 5, 3, 8).astype(np.uint32)},
        "has offsets that fall at 2, from 5 to 3",
    ),
    "no texts": ("texts", lambda a: {**a, "offsets": offsets()[:0]}, "has offsets from []"),
    "left over": (
        "texts",
        lambda a: {**a, "offsets": offsets(2, 4, 6, 7)},
        "has offsets from [2, 7], not from 0 to the 8 tokens",
    ),
    "long text": (
        "texts",
        lambda a: {**a, "offsets": offsets(0, 2, 6, 8)},
        "has a text of 4 tokens, number 1, but example_tokens=3 is declared",
    ),
    "other": ("image", put("image", 0, 7), "has the content hash"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_data_are_refused_and_named(kind: str):
    form, change, message = WRONG[kind]
    dataset = dataset_of(form, lambda split: change(arrays_of(form)))
    with pytest.raises(DataError, match=f"train'? split of 'toy' .*{re.escape(message)}"):
        verify(dataset)
    if form == "image":  # training meets the same check
        with pytest.raises(DataError, match=re.escape(message)):
            open_view(dataset, ImageView(2, 1, 3), "train")


def test_bad_examples_are_found_in_every_chunk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("velodrome.taskgen.data.kinds.checks.CHUNK_BYTES", 8)
    with pytest.raises(DataError, match="has 3 among its labels, at 4;"):
        verify(dataset_of("image", lambda split: put("label", 4, 3)(arrays_of("image"))))


def test_the_held_out_split_is_looked_at_too():
    wrong = put("label", 2, 7)(arrays_of("image"))
    dataset = dataset_of("image", lambda split: arrays_of("image") if split == "train" else wrong)
    with pytest.raises(DataError, match="the heldout split of 'toy' has 7 among its labels, at 2"):
        verify(dataset)


def test_a_loader_that_raises_is_quoted():
    def load(split: str) -> Any:
        raise FileNotFoundError("no such file: cats.npy")

    message = "loading the train split of 'toy' failed: FileNotFoundError: no such file: cats.npy"
    with pytest.raises(DataError, match=message):
        verify(dataset_of("image", load))


@pytest.mark.parametrize("declared", [{}, {"train": hash_arrays(arrays_of("image"))}])
def test_without_a_hash_of_each_split_the_error_has_those_to_declare(declared: dict[str, str]):
    dataset = dataset_of("image", split_hashes=declared)
    assert dataset.info.content_hash == ""
    hashes = dict.fromkeys(("train", "heldout"), hash_arrays(arrays_of("image")))
    with pytest.raises(
        DataError, match=re.escape(f"Declare what it loads now: split_hashes={hashes}.")
    ):
        verify(dataset)
    verify(dataset_of("image", split_hashes=hashes))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"split_sizes": {"test": 5}}, "splits 'train' and 'heldout', not 'test'"),
        ({"split_hashes": {"validation": "ab"}}, "'heldout', not 'validation'"),
        ({"class_names": ("cat", "dog")}, "2 names for 3 classes"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(facts: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        dataset_of("image", **facts)
