"""Compact a store, with what is known here of the optimizers of an old one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.files import exclusive_directory, resolved
from velodrome.optimizers.registry import optimizers
from velodrome.results.store import compact as packing
from velodrome.results.store.compact import Compacted
from velodrome.results.store.identity import cell_id
from velodrome.results.store.store import Store
from velodrome.taskgen.data.registry import datasets


def compact(directory: str | os.PathLike[str], *, drop_states: bool = False) -> Compacted:
    """Pack the many files of a store into few, and convert it if an older velodrome wrote it.

    Args:
      directory: The store.
      drop_states: Whether to remove the kept ends of runs: longer ones then start over.

    Raises:
      StoreError: There is no store, it is damaged, or another process plans in it.
      VelodromeError: It cannot be written.

    Examples:
      >>> packed = velodrome.compact("runs/mine")
    """
    path = Path(resolved(directory))
    Store.open(path, read_only=True)  # before anything is written, if there is none
    with exclusive_directory(path):
        return packing.compact(path, identify=_identify, drop_states=drop_states)


def _identify(cell: Mapping[str, Any], protocol: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the id that a run would give an old cell now, and whether its runs can go on.

    An optimizer that is not known here, or has changed, is taken to know its horizon.
    """
    said, name, extendable = cell["optimizer"], cell["optimizer"]["name"], False
    try:
        known = optimizers.get(name)
        if (known.version, dict(known.identity)) == (said["version"], said["identity"]):
            name, extendable = known.name, "num_steps" not in known.needs
    except VelodromeError:
        pass  # such as a file that is gone
    # Of data that are somebody else's, facts are part of the id that nobody wrote down.
    data = cell["data"]["content_hash"]
    found = cell_id(
        task=cell["task"]["hash"],
        data=data if datasets.is_own(cell["data"]["name"]) else [data, "of an old store"],
        optimizer=(name, said["version"], said["identity"]),
        protocol=protocol,
        horizon=None if extendable else cell["horizon"],
    )
    return found, extendable
