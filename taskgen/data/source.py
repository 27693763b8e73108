"""Source: batches of a data set as a task sees it, as a pure function of seed and step."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError
from velodrome.foundation.text import size
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.gather import Batch, as_floats
from velodrome.taskgen.data.info import Dataset, DatasetInfo, check_split, kind_of
from velodrome.taskgen.data.order import epoch_indices
from velodrome.taskgen.data.packedorder import in_parts
from velodrome.taskgen.data.resident import ByteCache, resident_limit
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import NONE, Variation
from velodrome.taskgen.data.verify import load, verify_split
from velodrome.taskgen.data.view import view_of
from velodrome.taskgen.schema import View

Indices = jax.Array | np.ndarray

# Raised when the same data and view would give other batches than before.
_PIPELINE = 1


@dataclass(frozen=True, eq=False)
class Source:
    """One split of a data set, as one task sees it.

    There is no iterator and no state: a batch is ``gather(*block(indices(...)[step]), key)``.
    Code that trains uses only ``indices``, ``block`` and ``gather``, and passes arrays on without
    looking inside: so it does not matter whether the whole split lies on the device, or blocks of
    it are copied there from memory-mapped files. Batches are the same bit for bit.

    Attributes:
      info: Facts about the data set, with its provenance.
      split: "train" or "heldout".
      size: Number of examples, such as images, windows of text, or graphs that fit.
      content_hash: SHA-256 over the split's bytes and how the task sees them; sources with the
        same hash give the same unaugmented batches.
      view: The split on the host.
      on_device: The whole split on the device; None if it is too large for that.
      gather_batch: Takes a batch, as stored, out of arrays on the device.
    """

    info: DatasetInfo
    split: str
    size: int
    content_hash: str
    view: SplitView = field(repr=False)
    on_device: Batch | None = field(repr=False)
    gather_batch: Callable[..., Batch] = field(repr=False)

    @property
    def provenance(self) -> str:
        """Where the data come from; see `velodrome.DatasetInfo`."""
        return self.info.provenance

    @property
    def resident(self) -> bool:
        """Whether the whole split lies on the device."""
        return self.on_device is not None

    @property
    def arrays(self) -> Batch:
        """The arrays of a resident split; for another one a `DataError` is raised."""
        if self.on_device is None:
            raise DataError(
                f"the {self.split} split of {self.info.name!r} takes "
                f"{size(self.view.nbytes)} as this task sees it, over the limit of "
                f"{size(resident_limit())} for keeping it on the device, which is "
                "needed here. Set VELODROME_RESIDENT_BYTES to a higher limit if there is room."
            )
        return self.on_device

    def indices(
        self, seed: int, start: int, count: int, batch_size: int, part: int | None = None
    ) -> np.ndarray:
        """Return i32[count, batch_size], the examples of the batches of steps from ``start`` on.

        See `velodrome.taskgen.data.order.epoch_indices`. Where examples are packed, so that a batch
        has as many as find room, ``size`` stands in places that are left over; see
        `velodrome.taskgen.data.packedorder.PackedOrder`. ``part`` is how many examples of a batch
        go through the network together, if not all.
        """
        what = f"the {self.split} split of {self.info.name!r} as this task sees it"
        if self.view.order is not None:
            found = self.view.order.indices(seed, start, count, batch_size, what=what)
            return found if part is None else in_parts(found, part)
        return epoch_indices(self.size, seed, start, count, batch_size, what=what)

    def first(self, seed: int, count: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first ``count`` examples of an epoch, or all of it, in batches.

        Returns:
          i32[batches, batch_size], and b[batches, batch_size]: which places count, each example
          once; the others only fill up. The batch size may be smaller.
        """
        count = min(count, self.size)
        batch_size = min(batch_size, count)
        batches = -(-count // batch_size)
        if self.view.order is None:
            rows = self.indices(seed, 0, 1, count)[0]
            places = np.arange(batches * batch_size).reshape(batches, batch_size)
            return np.resize(rows, places.shape), places < count
        # How many batches they take is known once they are packed.
        found = self.indices(seed, 0, batches, batch_size)
        while np.count_nonzero(found < self.size) < count:
            batches += max(1, batches // 8)
            found = self.indices(seed, 0, batches, batch_size)
        there = found < self.size
        counted = there & (np.cumsum(there).reshape(there.shape) <= count)
        used = counted.any(axis=1)
        return found[used], counted[used]

    def block(self, indices: np.ndarray) -> tuple[Batch, np.ndarray]:
        """Return arrays that hold the examples ``indices``, and where in them these are.

        Returns:
          What `gather` takes: arrays on the device, and i32 of the shape of ``indices``.
          For a resident split these are all examples and ``indices``, else only the given ones.
        """
        if self.on_device is not None:
            return self.on_device, indices
        places = np.arange(indices.size, dtype=np.int32).reshape(indices.shape)
        return _put(self.view.rows(indices.reshape(-1))), places

    def gather(
        self, arrays: Batch, indices: Indices, key: jax.Array | None, *, augment: bool
    ) -> Batch:
        """Return the batch of some examples; pure, and fit for ``jit``, ``vmap`` and ``scan``.

        Args:
          arrays: What `block` returned, or a copy on another device.
          indices: i32[B], a row of the indices that `block` returned.
          key: Decides random changes; may be None without ``augment``.
          augment: Whether to vary examples at random, as the spec says.

        Returns:
          The fields of the view's schema: for images
          ``{"image": f32[B,H,W,C] in [0,1], "label": i32[B]}``, for text
          ``{"obs": i32[B,T], "target": i32[B,T]}``.
        """
        return as_floats(self.gather_stored(arrays, indices, key, augment=augment))

    def gather_stored(
        self, arrays: Batch, indices: Indices, key: jax.Array | None, *, augment: bool
    ) -> Batch:
        """Return the batch that `as_floats` turns into that of `gather`.

        Bytes of pixels take a quarter of the memory, for batches that are not used at once.
        """
        return self.gather_batch(arrays, jnp.asarray(indices), key, augment=augment)

    def batch(
        self, seed: int, step: int, batch_size: int, *, key: jax.Array | None = None
    ) -> Batch:
        """Return the batch of one step: varied at random by ``key``, or plain without."""
        arrays, places = self.block(self.indices(seed, step, 1, batch_size)[0])
        return self.gather(arrays, places, key, augment=key is not None)


# One for the sources that tasks have open, and one for the arrays that several of them share.
_sources: ByteCache[Source] = ByteCache(resident_limit, 8)
_resident: ByteCache[Batch] = ByteCache(resident_limit, 8)


def open_view(
    dataset: Dataset,
    view: View,
    split: str,
    variation: Variation = NONE,
) -> Source:
    """Open a split of a data set in a given view; see
    `velodrome.taskgen.build.open_source`.

    Images are varied at random, as ``variation`` says, where a batch is augmented.
    """

    def make() -> tuple[Source, int]:
        source = _open(dataset, view, split, variation, limit)
        return source, source.view.nbytes if source.resident else 0

    limit = resident_limit()
    # The hash, because published data may be prepared again while a process runs.
    key = (dataset, dataset.info.content_hash, view, split, variation, limit)
    return _sources.get(key, make)


def _open(dataset: Dataset, view: View, split: str, variation: Variation, limit: int) -> Source:
    check_split(dataset.name, split)
    kind = kind_of(dataset.kind)
    kind.check_variation(dataset.info, variation)
    kind.check_seen(dataset.info, view, variation)
    gather = functools.partial(pkgutil.resolve_name(kind.gather), **kind.options(view, variation))
    raw, raw_hash = _raw(dataset, split, dataset.info.content_hash)
    seen = view_of(raw, dataset.info, view, split, variation)
    on_device = None
    if seen.nbytes <= limit:
        on_device = _resident.get(
            (dataset, raw_hash, split, seen.key), lambda: (_put(seen.whole()), seen.nbytes)
        )
    identity = content_hash({"arrays": raw_hash, "view": seen.facts, "pipeline": _PIPELINE})
    return Source(dataset.info, split, seen.size, identity, seen, on_device, gather)


@functools.lru_cache(maxsize=32)
def _raw(dataset: Dataset, split: str, recorded: str) -> tuple[Arrays, str]:
    """Load a split with its content hash, and make sure that it is what is declared."""
    del recorded  # data whose recorded hash has changed are loaded again
    arrays = load(dataset, split)
    return arrays, verify_split(dataset, split, arrays)


def _put(arrays: Arrays) -> Batch:
    return {name: jnp.asarray(array) for name, array in arrays.items()}
