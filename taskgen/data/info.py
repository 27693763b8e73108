"""What a data set is: facts about it, a function that loads its arrays, and the kinds there are."""

from __future__ import annotations

import abc
import functools
import hashlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from velodrome.foundation.errors import DataError, SpecError, VelodromeError
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.schema import View

# Families name this module, and help lists families: numpy is needed for the types alone.
if TYPE_CHECKING:
    from velodrome.taskgen.data.arrays import Arrays
    from velodrome.taskgen.data.splitview import SplitView

V = TypeVar("V", bound=View)

SPLITS = ("train", "heldout")
PROVENANCES = ("real", "built-in", "own", "stand-in")
DTYPES = ("uint8", "float32", "int16")
LAYOUTS = ("stream", "examples")


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set, known without loading it.

    Attributes:
      name: The name it is registered under.
      kind: One of `velodrome.taskgen.data.info.KINDS`, such as "image", "text" or "table".
      licence: What is known about the licence, and where that is written.
      origin: Where the data come from, with the package if they come inside one.
      provenance: "real" (a published data set, whole), "built-in" (real data from inside an
        installed package), "own" (added from a user's file) or "stand-in" (generated).
      shape: Images: height, width and channels of the stored examples. Tables: the number of
        columns; with hashed categories, that of numbers and that of categories. Graphs: numbers of
        a node, and of an edge. Recordings: numbers of a frame, or empty for samples. Images to
        be reconstructed: height and width. Text and pairs: empty.
      num_classes: Images and tables: number of labels. Graphs: questions of yes or no. Others: 0.
      vocab_size: Text and pairs: number of tokens. Recordings: number of tokens of their texts.
        Hashed categories: they are below it. Others: 0.
      dtype: Images: type of the stored pixels, "uint8", or "float32" (from 0 to 255) for images
        that were resized and not rounded. Tables: "float32". Recordings: "int16" for samples,
        "float32" for features. Images to be reconstructed: one of these.
      layout: Text: "stream", one long text that windows are cut out of, or "examples", separate
        texts, each of which gives one sequence: its first tokens. Others: "stream", unused.
      example_tokens: Separate texts: how many tokens of each are kept; 0 is all.
      split_sizes: Examples (images, rows, separate texts) or tokens (a stream) of each split; a
        split whose size is not known is left out.
      split_hashes: Content hash of each split's arrays, see `velodrome.hash_arrays`; empty
        if the data cannot be loaded. `velodrome check data` prints those of what it loads.
      class_names: What the labels, or the tokens of recordings, stand for, in order; may be empty.
      targets: Tables: how many numbers are predicted for each row, instead of a label.
      largest: Graphs: the nodes and the edges of the largest, which a task takes if its config does
        not say how many.

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
    targets: int = 0
    largest: tuple[int, ...] = ()

    def __post_init__(self):
        if self.kind not in KINDS or not kind_of(self.kind).fits(self):
            kinds = [self.kind] if self.kind in KINDS else KINDS
            wanted = "; ".join(f"kind {name!r} with {kind_of(name).facts}" for name in kinds)
            found = ("shape", "num_classes", "vocab_size", "targets", "dtype")
            raise DataError(
                f"data set {self.name!r}: give {wanted}. Got kind={self.kind!r}, "
                f"{', '.join(f'{name}={getattr(self, name)!r}' for name in found)}."
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
        if self.class_names and len(self.class_names) != (self.num_classes or self.vocab_size):
            raise DataError(
                f"data set {self.name!r}: class_names has {len(self.class_names)} names for "
                f"{self.num_classes or self.vocab_size} classes."
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
        return kind_of(self.kind).arrays(self)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its facts, and how to load it.

    Args:
      load: ``load(split)`` returns the split's arrays: ``{"image": u8[N,H,W,C], "label": i32[N]}``
        (f32 from 0 to 255 for images that were resized and not rounded), ``{"row": f32[N,F],
        "label": i32[N]}``, ``{"tokens": int[N]}``, or for separate texts ``{"tokens": int[M],
        "offsets": i64[N+1]}``; for other kinds see docs/reference/kinds-of-data.md. They may be
        memory-mapped and read-only. They are compared with ``info`` wherever they are used.
      verified: Whether ``load`` compares the hashes itself, so that no one need do it again.
      decode: Tokens to the text that they stand for, up to an end among them. None if nobody knows:
        then there are no metrics of texts.

    Examples:
      >>> digits = velodrome.datasets.get("digits")
      >>> digits.load("train")["image"].shape
      (1285, 8, 8, 1)
    """

    info: DatasetInfo
    load: Callable[[str], Arrays]
    verified: bool = False
    decode: Callable[[Iterable[int]], str] | None = None

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.info.name

    @property
    def kind(self) -> str:
        """The kind of data, one of `velodrome.taskgen.data.info.KINDS`."""
        return self.info.kind


class Kind(abc.ABC, Generic[V]):
    """What all data sets of a kind have in common: their facts, their arrays, and what tasks see.

    Nothing else in this package knows kinds. A new one is a subclass, which names its
    `velodrome.taskgen.schema.View`, and a line in `KINDS`.

    Attributes:
      facts: Which facts a data set of this kind needs, in words.
      noun: What the data are, in words.
      gather: Import string of the function that takes a batch out of arrays on the device; see
        `velodrome.taskgen.data.gather`.
      varied: Whether examples can be varied at random, as a `Variation` says.
    """

    facts: ClassVar[str]
    noun: ClassVar[str]
    gather: ClassVar[str] = "velodrome.taskgen.data.gather:gather_fields"
    varied: ClassVar[bool] = False

    def check_variation(self, info: DatasetInfo, variation: Variation) -> None:
        """Raise a `SpecError` if examples are to be varied in a way that the kind does not know."""
        for name, value in variation.chosen.items():
            if not self.varied:
                allowed = f"left out, because {info.name!r} is {self.noun}"
                raise SpecError(f"data.{name}", value, allowed)

    def check_seen(self, info: DatasetInfo, view: V, variation: Variation) -> None:
        """Raise a `SpecError` if what a task sees cannot be varied like that."""

    @abc.abstractmethod
    def fits(self, info: DatasetInfo) -> bool:
        """Return whether a data set has the facts that this kind needs."""

    @abc.abstractmethod
    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        """Return the names of the arrays of a split; the first has its examples."""

    @abc.abstractmethod
    def unit(self, info: DatasetInfo) -> str:
        """Return what the examples of a data set are, in the plural."""

    @abc.abstractmethod
    def describe(self, info: DatasetInfo) -> str:
        """Return what the data are, in a few words with numbers."""

    @abc.abstractmethod
    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        """Return the number of examples; raise `velodrome.taskgen.data.kinds.checks.SplitError`."""

    @abc.abstractmethod
    def view(self, config: object, info: DatasetInfo) -> V:
        """Return how a task sees a data set by the usual fields of its family's config."""

    def holds(self, info: DatasetInfo, view: V) -> bool:
        """Return whether the examples of a data set are as large as a task wants to see them."""
        del info, view
        return True

    @abc.abstractmethod
    def see(
        self, raw: Arrays, info: DatasetInfo, view: V, what: str, split: str, variation: Variation
    ) -> SplitView:
        """Return how a task sees the arrays of a split, which messages call ``what``."""

    @abc.abstractmethod
    def nbytes(self, info: DatasetInfo, view: V, variation: Variation) -> int:
        """Predict the bytes that all splits take as a task sees them, without loading them."""

    def count(self, info: DatasetInfo, view: V, split: str) -> int | None:
        """Return the examples of a split as a task sees it, without loading it; None: not known."""
        del view
        return info.split_sizes.get(split)

    def stored(self, info: DatasetInfo) -> int:
        """Return about what the arrays of all splits take on disk; 0 if that is not known."""
        del info
        return 0

    def options(self, view: V, variation: Variation) -> dict[str, object]:
        """Return the keyword arguments of the function ``gather``."""
        del variation
        return {"types": {name: field.dtype for name, field in view.schema().items()}}


#: The kinds of data, and where each is declared; imported when one is used.
KINDS: Mapping[str, str] = {
    name: f"velodrome.taskgen.data.kinds.{home}"
    for name, home in {
        "image": "images:Images",
        "text": "texts:Texts",
        "table": "tables:Tables",
        "hashed_table": "tables:HashedTables",
        "pair": "pairs:Pairs",
        "audio": "recordings:Recordings",
        "graph": "graphs:Graphs",
        "reconstruction": "reconstructions:Reconstructions",
    }.items()
}


@functools.cache
def kind_of(name: str) -> Kind[Any]:
    """Return a kind of data by its name, which must be in `KINDS`."""
    return pkgutil.resolve_name(KINDS[name])()


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
