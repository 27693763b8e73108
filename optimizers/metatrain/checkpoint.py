"""Checkpoints of pytrees: one safetensors file each, written atomically, read without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_path
from velodrome.optimizers.metatrain.directory import OTHERWISE

_KEY = "velodrome"


def save_checkpoint(path: str | os.PathLike[str], state: Any, record: Mapping[str, Any]) -> None:
    """Writes the arrays of ``state`` and the JSON ``record`` to ``path``, atomically.

    Raises:
      VelodromeError: The file cannot be written; what was there before is untouched.
    """
    arrays = {name: np.asarray(leaf) for name, leaf in _named(state).items()}
    metadata = {_KEY: json.dumps(dict(record), allow_nan=False)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, metadata=metadata))


def load_checkpoint(path: str | os.PathLike[str], template: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the state and the record that `save_checkpoint` wrote.

    Args:
      path: The file.
      template: A state of the same structure, shapes and types; its numbers are not used.

    Raises:
      StoreError: The file is damaged, or its arrays are not those of ``template``.
    """
    expected = _named(template)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {})[_KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    if arrays.keys() != expected.keys():
        differing = sorted(arrays.keys() ^ expected.keys())[:3]
        raise StoreError(
            f"{path} holds another state than this run's: they differ in {', '.join(differing)}. "
            f"{OTHERWISE}"
        )
    for name, leaf in expected.items():
        if (arrays[name].shape, arrays[name].dtype) != (jnp.shape(leaf), leaf.dtype):
            raise StoreError(
                f"{path}: {name} is {arrays[name].dtype}{list(arrays[name].shape)}, but this run "
                f"has {leaf.dtype}{list(jnp.shape(leaf))}. {OTHERWISE}"
            )
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(template), leaves), record


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the record of a checkpoint alone: what its state looks like may depend on it.

    Raises:
      StoreError: The file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return json.loads((file.metadata() or {})[_KEY])
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: str | os.PathLike[str], error: Exception) -> StoreError:
    return StoreError(
        f"{path} is no checkpoint of a meta-training run, or is damaged ({error}). {OTHERWISE}"
    )


def _named(state: Any) -> dict[str, Any]:
    """Returns the leaves in tree order, by their path in the tree."""
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }
