"""Source: batches of a data set as a task sees it, as a pure function of seed and step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, SpecError
from velodrome.foundation.text import size
from velodrome.taskgen.data.images import as_floats, gather_images
from velodrome.taskgen.data.info import Arrays, Dataset, DatasetInfo, check_split, hash_arrays
from velodrome.taskgen.data.order import epoch_indices
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.resident import ByteCache, resident_limit
from velodrome.taskgen.data.text import gather_rows, gather_windows
from velodrome.taskgen.data.view import SplitView, view_of
from velodrome.taskgen.family import ImageView, TextView
from velodrome.taskgen.spec import TaskSpec

# Raised when the same data and view would give other batches than before.
_PIPELINE = 1


@dataclass(frozen=True, eq=False)
class Source:
    """One split of a data set, as one task sees it.

    There is no iterator and no state: a batch is ``gather(*block(indices(...)[step]), key)``.
    Code that trains uses only ``indices``, ``block`` and ``gather``, and passes arrays on without
    looking inside; so it need not know whether the split lies on the device as a whole, or is
    copied there block by block from memory-mapped files. Batches are the same bit for bit.

    Attributes:
      info: Facts about the data set, with its provenance.
      split: "train" or "heldout".
      size: Number of examples: images, windows of text, or texts.
      content_hash: SHA-256 over the split's bytes and how the task sees them; sources with the
        same hash give the same unaugmented batches.
      view: The split on the host.
      resident: Whether the whole split lies on the device.
    """

    info: DatasetInfo
    split: str
    size: int
    content_hash: str
    view: SplitView = field(repr=False)
    on_device: dict[str, jax.Array] | None = field(repr=False)
    gather_batch: Callable[..., dict[str, jax.Array]] = field(repr=False)

    @property
    def provenance(self) -> str:
        """ "real", "built-in" or "stand-in"."""
        return self.info.provenance

    @property
    def resident(self) -> bool:
        """Whether the whole split lies on the device."""
        return self.on_device is not None

    @property
    def arrays(self) -> dict[str, jax.Array]:
        """What batches are gathered from, on the device; of a resident split only.

        Raises:
          DataError: The split is too large to be kept on the device; use :meth:`block`.
        """
        if self.on_device is None:
            raise DataError(
                f"the {self.split} split of {self.info.name!r} takes "
                f"{size(self.view.nbytes)} as this task sees it, over the limit of "
                f"{size(resident_limit())} for keeping it on the device, which is "
                "needed here. Set VELODROME_RESIDENT_BYTES to a higher limit if there is room."
            )
        return self.on_device

    def indices(self, seed: int, start: int, count: int, batch_size: int) -> np.ndarray:
        """Returns the examples of the batches of steps ``start`` to ``start + count - 1``.

        Every epoch visits the examples in a new random order; its last partial batch is dropped.

        Args:
          seed: Seed of the run, from 0 to 2^64 - 1.
          start: First step, from 0.
          count: Number of steps.
          batch_size: Examples in a batch.

        Returns:
          i32[count, batch_size]. Each row depends on its step alone.

        Raises:
          DataError: The batch is larger than the split.
        """
        what = f"the {self.split} split of {self.info.name!r} as this task sees it"
        return epoch_indices(self.size, seed, start, count, batch_size, what=what)

    def block(self, indices: np.ndarray) -> tuple[dict[str, jax.Array], np.ndarray]:
        """Returns arrays that hold some examples, and where in them these are.

        Args:
          indices: i32[...], rows of :meth:`indices`.

        Returns:
          Arrays on the device, and i32 of the shape of ``indices``: what :meth:`gather` takes.
          Of a resident split, everything and ``indices``; else these examples only.
        """
        if self.on_device is not None:
            return self.on_device, indices
        places = np.arange(indices.size, dtype=np.int32).reshape(indices.shape)
        return _put(self.view.rows(indices.reshape(-1))), places

    def gather(
        self, arrays: Any, indices: Any, key: jax.Array | None, *, augment: bool
    ) -> dict[str, jax.Array]:
        """Returns the batch of some examples; pure, and fit for ``jit``, ``vmap`` and ``scan``.

        Args:
          arrays: What :meth:`block` returned, or a copy of it on another device.
          indices: i32[B], a row of the indices that :meth:`block` returned.
          key: Decides random shifts and flips; may be None without ``augment``.
          augment: Whether the spec's random shift and flip are applied.

        Returns:
          Images: ``{"image": f32[B,H,W,C] in [0,1], "label": i32[B]}``.
          Text: ``{"obs": i32[B,T], "target": i32[B,T]}``.
        """
        return as_floats(self.gather_stored(arrays, indices, key, augment=augment))

    def gather_stored(
        self, arrays: Any, indices: Any, key: jax.Array | None, *, augment: bool
    ) -> dict[str, jax.Array]:
        """Returns what :func:`as_floats` makes the batch of :meth:`gather` of.

        Bytes of pixels take a quarter of the memory, for batches that are not used at once.
        """
        return self.gather_batch(arrays, jnp.asarray(indices), key, augment=augment)

    def batch(
        self, seed: int, step: int, batch_size: int, *, key: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Returns the batch of one step: shifted and flipped by ``key``, or as stored without.

        Args:
          seed: Seed of the run.
          step: The step, from 0.
          batch_size: Examples in the batch.
          key: Decides random shifts and flips.
        """
        arrays, places = self.block(self.indices(seed, step, 1, batch_size)[0])
        return self.gather(arrays, places, key, augment=key is not None)


def open_source(spec: TaskSpec, split: str) -> Source:
    """Opens a split of the data set of ``spec``, as its family sees it.

    Opening the same again gives the same object, as long as it is among the last few.

    Args:
      spec: The task's spec.
      split: "train" or "heldout".

    Returns:
      The source; its arrays lie on the default device, unless they are larger than
      :func:`velodrome.taskgen.data.resident.resident_limit`.

    Raises:
      UnknownNameError: There is no such data set.
      DataError: The data are missing, are not the recorded ones, or do not fit the family.
      SpecError: Text cannot be shifted or flipped.
    """
    dataset = datasets.get(spec.data.name)
    kind = spec.family_object.data_kind
    if dataset.kind != kind:
        raise DataError(
            f"family {spec.family!r} trains on data of kind {kind!r}, but {dataset.name!r} is of "
            f"kind {dataset.kind!r}; choose another data set (`velodrome list datasets`)."
        )
    view = spec.family_object.view(spec.config, dataset.info)
    return open_view(dataset, view, split, shift=spec.data.shift, flip=spec.data.flip)


# One for what tasks have open and one for the arrays that several views share.
_sources = ByteCache(resident_limit, 8)
_resident = ByteCache(resident_limit, 8)


def open_view(
    dataset: Dataset,
    view: ImageView | TextView,
    split: str,
    *,
    shift: int = 0,
    flip: bool = False,
) -> Source:
    """Opens a split of a data set in a given view; see :func:`open_source`.

    Args:
      dataset: The data set.
      view: Size and channels of images, or length and vocabulary of text.
      split: "train" or "heldout".
      shift: Images: largest random shift in pixels.
      flip: Images: whether to mirror at random.
    """

    def make() -> tuple[Source, int]:
        source = _open(dataset, view, split, shift, flip, limit)
        return source, source.view.nbytes if source.resident else 0

    limit = resident_limit()
    # The hash, because published data may be prepared anew while a process runs.
    key = (dataset, dataset.info.content_hash, view, split, shift, flip, limit)
    return _sources.get(key, make)


def _open(
    dataset: Dataset, view: ImageView | TextView, split: str, shift: int, flip: bool, limit: int
) -> Source:
    check_split(dataset.name, split)
    if not isinstance(view, ImageView):
        for name, value in (("shift", shift), ("flip", flip)):
            if value:
                what = f"left out, because the {split} split of {dataset.name!r} is text"
                raise SpecError(f"data.{name}", value, what)
    raw, raw_hash = _raw(dataset, split, dataset.info.content_hash)
    seen = view_of(raw, dataset.info, view, split, shift=shift)
    on_device = None
    if seen.nbytes <= limit:

        def make() -> tuple[dict[str, jax.Array], int]:
            return _put(seen.whole()), seen.nbytes

        on_device = _resident.get((dataset, raw_hash, split, seen.key), make)
    if isinstance(view, ImageView):
        gather = functools.partial(gather_images, shift=shift, flip=flip)
    else:
        gather = functools.partial(_gather_text, length=view.length)
    identity = content_hash({"arrays": raw_hash, "view": seen.facts, "pipeline": _PIPELINE})
    return Source(dataset.info, split, seen.size, identity, seen, on_device, gather)


def _gather_text(
    arrays: dict[str, jax.Array],
    indices: jax.Array,
    key: jax.Array | None,
    *,
    augment: bool,
    length: int,
) -> dict[str, jax.Array]:
    del key, augment  # text has no augmentation
    if "rows" in arrays:
        return gather_rows(arrays, indices)
    return gather_windows(arrays, indices, length=length)


@functools.lru_cache(maxsize=32)
def _raw(dataset: Dataset, split: str, recorded: str) -> tuple[Arrays, str]:
    """Loads a split, and makes sure that it is what the data set's facts say."""
    del recorded  # data with another hash are loaded again
    arrays = dataset.load(split)
    expected = dataset.info.split_hashes.get(split)
    if dataset.verified and expected:
        return arrays, expected
    found = hash_arrays(arrays)
    if expected is not None and found != expected:
        raise DataError(
            f"the {split!r} split of {dataset.name!r} has the content hash {found}, but {expected} "
            "is recorded for it; load the recorded data, or give the changed data another name."
        )
    return arrays, found


def _put(arrays: Arrays) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array) for name, array in arrays.items()}
