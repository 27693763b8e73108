"""A running shard on disk: pytrees of arrays in one .npz file, atomic, without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_path

_META = "meta"

#: What a damaged file may raise when it is read.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def save(path: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray], tree: Any) -> None:
    """Writes a checkpoint atomically: after a crash the old one or the new one is there.

    Args:
      path: The file.
      meta: JSON.
      arrays: Named arrays of plain numbers.
      tree: A pytree of arrays; its leaves are stored in order, bit for bit.

    Raises:
      VelodromeError: It cannot be written.
    """
    leaves = [_raw(leaf) for leaf in jax.device_get(jax.tree.map(_data, jax.tree.leaves(tree)))]
    entries = {f"array.{name}": array for name, array in arrays.items()}
    entries.update({f"leaf.{index}": leaf for index, leaf in enumerate(leaves)})
    entries[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **entries)


def load_meta(path: Path) -> dict[str, Any] | None:
    """Returns the meta data of a checkpoint, or None if there is no readable one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return json.loads(bytes(stored[_META]))
    except _DAMAGE:
        return None  # a checkpoint only saves time: without it the shard starts anew


def load(path: Path, like: Any) -> tuple[dict[str, np.ndarray], Any]:
    """Reads the arrays and the tree of a checkpoint.

    Args:
      path: The file.
      like: A pytree with the structure, shapes and types of the stored one.

    Returns:
      The named arrays, and the tree with the leaves' bits as they were.

    Raises:
      StoreError: The file is damaged, or the stored tree has other leaves.
    """
    leaves, structure = jax.tree.flatten(like)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as entries:
            stored = {name: entries[name] for name in entries.files}
    except _DAMAGE as error:
        raise StoreError(f"the checkpoint {path} is damaged ({error}); delete it.") from error
    arrays = {
        name.removeprefix("array."): array
        for name, array in stored.items()
        if name.startswith("array.")
    }
    count = sum(name.startswith("leaf.") for name in stored)
    if count != len(leaves):
        raise StoreError(
            f"the checkpoint {path} holds {count} arrays where {len(leaves)} are expected: it was "
            "written by another version; delete it."
        )
    restored = [_restore(path, stored[f"leaf.{index}"], leaf) for index, leaf in enumerate(leaves)]
    return arrays, jax.tree.unflatten(structure, restored)


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _raw(leaf: Any) -> np.ndarray:
    """Types that .npz does not know (bfloat16, ...) are stored as bytes."""
    array = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    return array if array.dtype.isbuiltin == 1 else array[..., None].view(np.uint8)


def _restore(path: Path, stored: np.ndarray, leaf: Any) -> Any:
    plain = _data(leaf)
    dtype = np.dtype(plain.dtype)
    if dtype.isbuiltin != 1 and stored.dtype == np.uint8:
        stored = stored.view(dtype)[..., 0]
    if stored.shape != plain.shape or stored.dtype != dtype:
        raise StoreError(
            f"the checkpoint {path} holds an array {stored.dtype}{stored.shape} where "
            f"{dtype}{plain.shape} is expected; delete it."
        )
    if _is_key(leaf):
        return jax.random.wrap_key_data(jax.device_put(stored), impl=jax.random.key_impl(leaf))
    return jax.device_put(stored)
