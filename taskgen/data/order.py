"""The order in which examples are visited: a pure function of seed and step."""

from __future__ import annotations

import functools

import numpy as np

from velodrome.foundation.errors import DataError

_WORD = 2**64


def permutation(size: int, seed: int, stream: int) -> np.ndarray:
    """Return a random order i32[size] of ``range(size)``, the same on every machine and version.

    ``seed`` and ``stream`` are from 0 to 2^64 - 1; each pair gives an independent order.
    """
    # Sorted raw 64-bit words of the counter-based generator Philox4x64-10 (Salmon et al. 2011): a
    # library's own shuffling may change from one version to the next.
    key = np.array([seed % _WORD, stream % _WORD], dtype=np.uint64)
    words = np.random.Philox(key=key).random_raw(size)
    order = np.argsort(words, kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order


# A run visits its epochs in turn, and a few runs alternate; older epochs are made again. Orders of
# millions of examples take much memory, and few runs get to a second epoch of them.
_LARGE = 2**22
_epoch = functools.lru_cache(maxsize=32)(permutation)
_large_epoch = functools.lru_cache(maxsize=4)(permutation)


def epoch_indices(
    size: int, seed: int, start: int, count: int, batch_size: int, *, what: str
) -> np.ndarray:
    """Return i32[count, batch_size], the examples of the batches of steps from ``start`` on.

    Every epoch visits the ``size`` examples in a new order, in consecutive batches; the last
    partial batch of an epoch is dropped. A step's batch depends on the seed, from 0 to 2^64 - 1,
    and the step alone, not on how steps are grouped into calls.

    Raises:
      DataError: The batch is larger than the split, which the message calls ``what``, or a number
        is out of range.
    """
    check_batches(size, seed, start, count, batch_size, what)
    per_epoch = size // batch_size
    result = np.empty((count, batch_size), dtype=np.int32)
    done = 0
    while done < count:
        epoch, first = divmod(start + done, per_epoch)
        steps = min(per_epoch - first, count - done)
        order = epoch_order(size, seed, epoch)[first * batch_size : (first + steps) * batch_size]
        result[done : done + steps] = order.reshape(steps, batch_size)
        done += steps
    return result


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order i32[size] in which an epoch visits the examples; see `permutation`."""
    return (_large_epoch if size > _LARGE else _epoch)(size, seed, epoch)


def check_batches(size: int, seed: int, start: int, count: int, batch_size: int, what: str) -> None:
    """Refuse batches that cannot be; the arguments are those of `epoch_indices`."""
    if batch_size < 1 or start < 0 or count < 0 or not 0 <= seed < _WORD:
        raise DataError(
            f"no batches for seed={seed}, start={start}, count={count}, batch_size={batch_size}: "
            "a batch holds at least one example, a seed is from 0 to 2^64 - 1, and the others "
            "are not negative."
        )
    if batch_size > size:
        raise DataError(
            f"a batch of {batch_size} is larger than {what}, which has {size} examples; choose a "
            f"batch size of at most {size}, or a larger data set."
        )
