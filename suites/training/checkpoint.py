"""Checkpoints of a running shard: named arrays and a pytree, restored bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from velodrome.foundation import checkpoint
from velodrome.foundation.errors import StoreError

_COLUMN, _LEAF = "column.", "leaf."


def save(
    path: Path, meta: Mapping[str, object], arrays: Mapping[str, np.ndarray], tree: PyTree
) -> None:
    """Write JSON, named arrays and the leaves of a pytree, atomically.

    Raises:
      VelodromeError: The file cannot be written.
    """
    leaves = jax.device_get(jax.tree.map(data_of, jax.tree.leaves(tree)))
    entries = {f"{_COLUMN}{name}": array for name, array in arrays.items()}
    entries.update({f"{_LEAF}{index}": np.asarray(leaf) for index, leaf in enumerate(leaves)})
    checkpoint.save(path, meta, entries)


def load_meta(path: Path) -> dict[str, Any] | None:
    """Return the JSON of a checkpoint, or None if there is no readable one."""
    try:
        return checkpoint.load_meta(path)
    except StoreError:
        return None  # a checkpoint only saves time: without it the shard starts from the beginning


def load(path: Path, like: PyTree) -> tuple[dict[str, np.ndarray], PyTree]:
    """Return the named arrays and the tree of a checkpoint.

    Args:
      like: A pytree with the structure, shapes and types of the stored one.

    Raises:
      StoreError: The file is damaged, or the stored tree has other leaves.
    """
    leaves, structure = jax.tree.flatten(like)
    stored = checkpoint.load(path)
    columns = {
        name.removeprefix(_COLUMN): array
        for name, array in stored.items()
        if name.startswith(_COLUMN)
    }
    found = checkpoint.fit(
        path,
        {name: array for name, array in stored.items() if name.startswith(_LEAF)},
        {f"{_LEAF}{index}": data_of(leaf) for index, leaf in enumerate(leaves)},
    )
    restored = map(placed, found.values(), leaves)
    return columns, jax.tree.unflatten(structure, restored)


def _is_key(leaf: jax.Array) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def data_of(leaf: jax.Array) -> jax.Array:
    """Return a leaf as numbers: a key has them inside."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def placed(stored: np.ndarray, leaf: jax.Array) -> jax.Array:
    """Return stored numbers as an array of the kind of ``leaf``, on its devices."""
    # An array that is split never lies on one device as a whole.
    where = leaf.sharding if len(leaf.sharding.device_set) > 1 else None
    if _is_key(leaf):
        return jax.random.wrap_key_data(
            jax.device_put(stored, where), impl=jax.random.key_impl(leaf)
        )
    return jax.device_put(stored, where)
