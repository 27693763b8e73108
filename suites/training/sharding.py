"""Lanes on several devices: which of their axes is split, and how it is made even.

Lanes never meet, so each device computes its lanes, and only batches are exchanged. On one device
nothing here has any effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "lanes"

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Layout:
    """Where the lanes ``[seed, point]`` of a program are computed.

    Attributes:
      seeds: Length of the first axis, with lanes that only fill up.
      points: Length of the second axis, likewise.
      mesh: The devices in a row; None if lanes are not split.
      split: The axis that is split over them, 0 (seeds) or 1 (points).
    """

    seeds: int
    points: int
    mesh: Mesh | None = None
    split: int = 1

    def place_lanes(self, tree: Tree) -> Tree:
        """Put arrays ``[seed, point, ...]`` where their lanes are computed."""
        return self._place(tree, (None, _AXIS) if self.split else (_AXIS,))

    def place_seeds(self, tree: Tree) -> Tree:
        """Put arrays ``[seed, ...]``, which all points of a seed share."""
        return self._place(tree, () if self.split else (_AXIS,))

    def place_points(self, tree: Tree) -> Tree:
        """Put arrays ``[point]``, which all seeds of a point share."""
        return self._place(tree, (_AXIS,) if self.split else ())

    def _place(self, tree: Tree, axes: tuple[str | None, ...]) -> Tree:
        if self.mesh is None:
            return tree
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec(*axes)))


def choose_layout(seeds: int, points: int) -> Layout:
    """Return the layout of ``seeds`` x ``points`` lanes on the devices of this process.

    On one device, also where ``jax_default_device`` names one, lanes are not split.
    """
    devices = jax.local_devices() if getattr(jax.config, "jax_default_device", None) is None else []
    if len(devices) <= 1 or seeds * points == 1:
        return Layout(seeds, points)
    split, used, even = split_evenly(seeds, points, devices=len(devices))
    mesh = Mesh(devices[:used], (_AXIS,))
    return Layout(seeds, even, mesh, 1) if split else Layout(even, points, mesh, 0)


def split_evenly(seeds: int, points: int, *, devices: int) -> tuple[int, int, int]:
    """Choose the axis whose splitting leaves the fewest lanes to one device.

    Where it does not divide, lanes are added to it (their numbers are thrown away), and devices
    that would compute only such lanes are left out.

    Returns:
      The axis (0 or 1), how many devices are used, and the length of the axis with added lanes.
    """
    each_seeds, each_points = (-(-length // devices) for length in (seeds, points))
    split = int(each_points * seeds <= each_seeds * points)
    length, each = ((seeds, each_seeds), (points, each_points))[split]
    used = -(-length // each)
    return split, used, used * each
