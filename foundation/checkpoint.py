"""Checkpoints: named arrays and JSON in one ``.npz`` file, atomic, without pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_path

_META, _ARRAY = "meta", "array."

#: What a damaged file may raise when it is read.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@runtime_checkable
class Shaped(Protocol):
    """An array, or a description of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any:
        """Its type, such as bfloat16."""
        ...


def save(path: Path, meta: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint; after a crash the old one or the new one is there.

    Args:
      meta: JSON.
      arrays: Arrays of plain numbers, bfloat16 included; stored bit for bit.

    Raises:
      WriteError: It cannot be written.
    """
    entries = {f"{_ARRAY}{name}": _raw(array) for name, array in arrays.items()}
    text = json.dumps(dict(meta), allow_nan=False)
    entries[_META] = np.frombuffer(text.encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **entries)


def load_meta(path: Path) -> dict[str, Any]:
    """Return the JSON of a checkpoint alone.

    Raises:
      StoreError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return json.loads(bytes(stored[_META]))
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def load(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint as they are stored; see `fit`.

    Raises:
      StoreError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = [name for name in stored.files if name.startswith(_ARRAY)]
            return {name.removeprefix(_ARRAY): stored[name] for name in names}
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def fit(
    path: Path, stored: Mapping[str, np.ndarray], like: Mapping[str, Shaped]
) -> dict[str, np.ndarray]:
    """Return stored arrays in the order of ``like``, whose shapes and types they must have.

    Raises:
      StoreError: A name, a shape or a type differs; the message names the file ``path``.
    """
    if differing := sorted(stored.keys() ^ like.keys()):
        names = ", ".join(differing[:3])
        raise StoreError(f"the checkpoint {path} holds another state: it differs in {names}.")
    return {name: _fitted(path, name, stored[name], one) for name, one in like.items()}


def _raw(array: np.ndarray) -> np.ndarray:
    # Types that .npz does not know (bfloat16, ...) are stored as bytes.
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    return array if array.dtype.isbuiltin == 1 else array[..., None].view(np.uint8)


def _fitted(path: Path, name: str, stored: np.ndarray, like: Shaped) -> np.ndarray:
    dtype = np.dtype(like.dtype)
    if dtype.isbuiltin != 1 and stored.dtype == np.uint8:
        stored = stored.view(dtype)[..., 0]
    if stored.shape != like.shape or stored.dtype != dtype:
        raise StoreError(
            f"the checkpoint {path} holds another state: {name} is "
            f"{stored.dtype}{list(stored.shape)}, not {dtype}{list(like.shape)}."
        )
    return stored


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"the checkpoint {path} is missing or damaged ({error}).")
