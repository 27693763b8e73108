"""What a data set is: facts about it, and a function that loads its arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from velodrome.foundation.errors import DataError, VelodromeError

# Families name this module, and help lists families: numpy is needed for the type alone.
if TYPE_CHECKING:
    from velodrome.taskgen.data.arrays import Arrays

SPLITS = ("train", "heldout")
PROVENANCES = ("real", "built-in", "own", "stand-in")
DTYPES = ("uint8", "float32")
LAYOUTS = ("stream", "examples")


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set, known without loading it.

    Attributes:
      name: The name it is registered under.
      kind: "image", "text" or "table".
      licence: What is known about the licence, and where that is written.
      origin: Where the data come from, with the package if they come inside one.
      provenance: "real" (a published data set, whole), "built-in" (real data from inside an
        installed package), "own" (added from a user's file) or "stand-in" (generated).
      shape: Images: height, width and channels of the stored examples. Tables: the number of
        columns. Text: empty.
      num_classes: Images and tables: number of labels. Text: 0.
      vocab_size: Text: number of tokens. Others: 0.
      dtype: Images: type of the stored pixels, "uint8", or "float32" (from 0 to 255) for images
        that were resized and not rounded. Tables: "float32".
      layout: Text: "stream", one long text that windows are cut out of, or "examples", separate
        texts, each of which gives one sequence: its first tokens. Others: "stream", unused.
      example_tokens: Separate texts: how many tokens of each are kept; 0 is all.
      split_sizes: Examples (images, rows, separate texts) or tokens (a stream) of each split; a
        split whose size is not known is left out.
      split_hashes: Content hash of each split's arrays, see `velodrome.hash_arrays`; empty
        if the data cannot be loaded. `velodrome check data` prints those of what it loads.
      class_names: Images and tables: what the labels stand for, in order; may be empty.

    Raises:
      DataError: ``kind``, ``dtype``, ``layout``, ``provenance`` or a split is unknown, a size that
        the kind needs is missing, or there is not a name for each class.

    Examples:
      >>> velodrome.datasets.get("digits").info.split_sizes
      {'train': 1285, 'heldout': 512}
    """

    name: str
    kind: str
    licence: str
    origin: str
    provenance: str
    shape: tuple[int, ...] = ()
    num_classes: int = 0
    vocab_size: int = 0
    dtype: str = "uint8"
    layout: str = "stream"
    example_tokens: int = 0
    split_sizes: Mapping[str, int] = field(default_factory=dict)
    split_hashes: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def __post_init__(self):
        image = self.kind == "image" and len(self.shape) == 3 and self.num_classes > 0
        text = self.kind == "text" and not self.shape and self.vocab_size > 1
        floats = self.dtype == "float32"
        table = self.kind == "table" and len(self.shape) == 1 and self.num_classes > 0 and floats
        if not (image or text or table):
            raise DataError(
                f"data set {self.name!r}: give kind 'image' with a shape (height, width, "
                "channels) and num_classes, or kind 'text' with vocab_size, or kind 'table' with "
                "the number of columns as its shape, num_classes and dtype 'float32'; got "
                f"kind={self.kind!r}, shape={self.shape}, num_classes={self.num_classes}, "
                f"vocab_size={self.vocab_size}."
            )
        choices = {"dtype": DTYPES, "layout": LAYOUTS, "provenance": PROVENANCES}
        for field_name, allowed in choices.items():
            found = getattr(self, field_name)
            if found not in allowed:
                raise DataError(
                    f"data set {self.name!r}: {field_name} is one of {', '.join(allowed)}, "
                    f"not {found!r}."
                )
        for split in (*self.split_sizes, *self.split_hashes):
            check_split(self.name, split)
        if self.class_names and len(self.class_names) != self.num_classes:
            raise DataError(
                f"data set {self.name!r}: class_names has {len(self.class_names)} names for "
                f"{self.num_classes} classes."
            )

    @property
    def content_hash(self) -> str:
        """One hash for all splits; the empty string unless all have one."""
        if not all(split in self.split_hashes for split in SPLITS):
            return ""
        lines = "".join(f"{name}={self.split_hashes[name]}\n" for name in sorted(self.split_hashes))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def array_names(self) -> tuple[str, ...]:
        """Names of the arrays of a split; see `Dataset`."""
        if self.kind == "image":
            return ("image", "label")
        if self.kind == "table":
            return ("row", "label")
        return ("tokens", "offsets") if self.layout == "examples" else ("tokens",)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its facts, and how to load it.

    Args:
      load: ``load(split)`` returns the split's arrays: ``{"image": u8[N,H,W,C], "label": i32[N]}``
        (f32 from 0 to 255 for images that were resized and not rounded), ``{"row": f32[N,F],
        "label": i32[N]}``, ``{"tokens": int[N]}``, or for separate texts ``{"tokens": int[M],
        "offsets": i64[N+1]}``. They may be memory-mapped and read-only. They are compared with
        ``info`` wherever they are used.
      verified: Whether ``load`` compares the hashes itself, so that no one need do it again.

    Examples:
      >>> digits = velodrome.datasets.get("digits")
      >>> digits.load("train")["image"].shape
      (1285, 8, 8, 1)
    """

    info: DatasetInfo
    load: Callable[[str], Arrays]
    verified: bool = False

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.info.name

    @property
    def kind(self) -> str:
        """ "image", "text" or "table"."""
        return self.info.kind


def check_dataset(name: str, value: object) -> None:
    """Raise unless ``value`` is a `Dataset` (what the registry calls)."""
    if not isinstance(value, Dataset):
        raise VelodromeError(
            f"{name!r} is of type {type(value).__name__}, not a data set; give an instance of "
            "velodrome.Dataset."
        )


def check_split(name: str, split: str) -> None:
    """Raise a `DataError` unless ``split`` is "train" or "heldout"."""
    if split not in SPLITS:
        raise DataError(f"data set {name!r} has the splits 'train' and 'heldout', not {split!r}.")
