"""Checkpoints of an evolution: a pytree of arrays, and a record in JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.foundation import checkpoint
from velodrome.foundation.errors import StoreError
from velodrome.optimizers.metatrain.directory import OTHERWISE

State = TypeVar("State")


def save_checkpoint(path: Path, state: object, record: dict[str, Any]) -> None:
    """Write the arrays of ``state`` and the JSON ``record`` to ``path``, atomically.

    Raises:
      VelodromeError: The file cannot be written; the one before is untouched.
    """
    checkpoint.save(path, record, {name: np.asarray(leaf) for name, leaf in _named(state).items()})


def load_checkpoint(path: Path, template: State) -> State:
    """Return the state that `save_checkpoint` wrote.

    Args:
      template: A state of the same structure, shapes and types; its numbers are not used.

    Raises:
      StoreError: The file is damaged, or its arrays are not those of ``template``.
    """
    try:
        arrays = checkpoint.fit(path, checkpoint.load(path), _named(template))
    except StoreError as error:
        raise StoreError(f"{error} {OTHERWISE}") from error
    leaves = map(jnp.asarray, arrays.values())
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a checkpoint alone: the structure of its state may depend on it.

    Raises:
      StoreError: The file is damaged.
    """
    try:
        return checkpoint.load_meta(path)
    except StoreError as error:
        raise StoreError(f"{error} {OTHERWISE}") from error


def _named(state: object) -> dict[str, jax.Array]:
    """Return the leaves in tree order, by their path in the tree."""
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }
