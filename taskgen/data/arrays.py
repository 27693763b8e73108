"""The arrays of a data set's split: read from files, and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def map_arrays(folder: Path, names: Iterable[str]) -> Arrays:
    """Map arrays in ``.npy`` files into memory; damaged files raise what numpy raises."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays: names, types, shapes and bytes.

    Bytes are hashed in C order and little-endian, so the result does not depend on the machine.

    Examples:
      >>> import numpy as np
      >>> len(velodrome.hash_arrays({"tokens": np.arange(10)}))
      64
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        shape = ",".join(str(length) for length in arrays[name].shape)
        digest.update(f"{name} {array.dtype.str.lstrip('<|')} {shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
