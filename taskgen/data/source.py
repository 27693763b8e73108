"""Source: batches of a data set as a task sees it, as a pure function of seed and step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foundation.canonical import content_hash
from foundation.errors import DataError, SpecError
from taskgen.data import datasets
from taskgen.data.images import gather_images, prepare_images
from taskgen.data.info import Arrays, Dataset, DatasetInfo, check_split, hash_arrays
from taskgen.data.order import epoch_indices
from taskgen.data.text import count_windows, gather_windows, prepare_tokens
from taskgen.families.base import ImageView, TextView
from taskgen.spec import TaskSpec

# Raised when the same data and view would give other batches than before.
_PIPELINE = 1


@dataclass(frozen=True, eq=False)
class Source:
    """One split of a data set, as one task sees it.

    There is no iterator and no state: a batch is ``gather(arrays, indices(...)[step], key)``.
    Code that trains uses only ``indices``, ``gather`` and ``arrays``, and passes ``arrays`` on
    without looking inside.

    Attributes:
      info: Facts about the data set, with its provenance.
      split: "train" or "heldout".
      size: Number of examples: images, or windows of text.
      content_hash: SHA-256 over the split's bytes and how the task sees them; sources with the
        same hash give the same unaugmented batches.
      arrays: What batches are gathered from, on the device.
    """

    info: DatasetInfo
    split: str
    size: int
    content_hash: str
    arrays: dict[str, jax.Array] = field(repr=False)
    gather_batch: Callable[..., dict[str, jax.Array]] = field(repr=False)

    @property
    def provenance(self) -> str:
        """ "real", "built-in" or "stand-in"."""
        return self.info.provenance

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

    def gather(
        self, arrays: Any, indices: Any, key: jax.Array | None, *, augment: bool
    ) -> dict[str, jax.Array]:
        """Returns the batch of some examples; pure, and fit for ``jit``, ``vmap`` and ``scan``.

        Args:
          arrays: ``self.arrays``, or a copy of it on another device.
          indices: i32[B], a row of :meth:`indices`.
          key: Decides random shifts and flips; may be None without ``augment``.
          augment: Whether the spec's random shift and flip are applied.

        Returns:
          Images: ``{"image": f32[B,H,W,C] in [0,1], "label": i32[B]}``.
          Text: ``{"obs": i32[B,T], "target": i32[B,T]}``.
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
        indices = self.indices(seed, step, 1, batch_size)[0]
        return self.gather(self.arrays, indices, key, augment=key is not None)


def open_source(spec: TaskSpec, split: str) -> Source:
    """Opens a split of the data set of ``spec``, as its family sees it.

    Opening the same again gives the same object, as long as it is among the last few.

    Args:
      spec: The task's spec.
      split: "train" or "heldout".

    Returns:
      The source, with its arrays on the default device.

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


@functools.lru_cache(maxsize=8)  # few, because each may hold a hundred megabytes
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
    check_split(dataset.name, split)
    what = f"the {split} split of {dataset.name!r}"
    raw_hash = _raw(dataset, split)[1]
    if isinstance(view, ImageView):
        seen = {"size": view.size, "channels": view.channels}
        arrays = _images(dataset, split, view.size, view.channels, shift)
        size = arrays["label"].shape[0]
        gather = functools.partial(gather_images, shift=shift, flip=flip)
    else:
        for name, value in (("shift", shift), ("flip", flip)):
            if value:
                raise SpecError(f"data.{name}", value, f"left out, because {what} is text")
        # A vocabulary beyond the data's changes nothing here, so it shares arrays and hash.
        vocab_size = min(view.vocab_size, dataset.info.vocab_size)
        seen = {"length": view.length, "vocab_size": vocab_size}
        arrays = _tokens(dataset, split, vocab_size)
        size = count_windows(arrays["tokens"].shape[0], view.length, what)
        gather = _ignoring_augmentation(functools.partial(gather_windows, length=view.length))
    identity = content_hash({"arrays": raw_hash, "view": seen, "pipeline": _PIPELINE})
    return Source(dataset.info, split, size, identity, arrays, gather)


def _ignoring_augmentation(gather: Callable[..., dict[str, jax.Array]]) -> Callable[..., Any]:
    def gather_batch(
        arrays: Any, indices: jax.Array, key: jax.Array | None, *, augment: bool
    ) -> dict[str, jax.Array]:
        del key, augment  # text has no augmentation
        return gather(arrays, indices)

    return gather_batch


@functools.lru_cache(maxsize=32)
def _raw(dataset: Dataset, split: str) -> tuple[Arrays, str]:
    """Loads a split, and makes sure that it is what the data set's facts say."""
    arrays = dataset.load(split)
    found = hash_arrays(arrays)
    expected = dataset.info.split_hashes.get(split, found)
    if found != expected:
        raise DataError(
            f"the {split!r} split of {dataset.name!r} has the content hash {found}, but {expected} "
            "is recorded for it; load the recorded data, or give the changed data another name."
        )
    return arrays, found


@functools.lru_cache(maxsize=8)
def _images(
    dataset: Dataset, split: str, size: int, channels: int, shift: int
) -> dict[str, jax.Array]:
    raw = _raw(dataset, split)[0]
    return _put(prepare_images(raw, size=size, channels=channels, shift=shift))


@functools.lru_cache(maxsize=8)
def _tokens(dataset: Dataset, split: str, vocab_size: int) -> dict[str, jax.Array]:
    return _put(prepare_tokens(_raw(dataset, split)[0], vocab_size=vocab_size))


def _put(arrays: Arrays) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array) for name, array in arrays.items()}
