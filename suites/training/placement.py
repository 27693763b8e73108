"""Where the arrays of one run lie, when it is trained on several devices together.

The compiler (GSPMD) does the rest: it splits the work by where arrays lie, and inserts what the
devices have to exchange. So the losses are those of one device, to rounding.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from velodrome.suites.planning.spread import Spread

_AXIS = "devices"

#: Smaller arrays are kept whole on every device: to exchange them would take longer than it saves.
LEAST_SPLIT = 1 << 16

Tree = TypeVar("Tree")
Function = TypeVar("Function", bound=Callable[..., object])


def split_axis(shape: Sequence[int], devices: int) -> int | None:
    """Return the axis of an array that is split: the largest that divides, the last of equals.

    None: the array is small, or no axis divides, and every device keeps all of it.

    >>> split_axis((128, 1000, 512), 8), split_axis((512, 512), 8), split_axis((3, 50_000), 7)
    (1, 1, None)
    """
    dividing = [axis for axis, size in enumerate(shape) if size % devices == 0]
    if math.prod(shape) < LEAST_SPLIT or not dividing:
        return None
    # Of equals the last: of a layer's square matrix, that splits its outputs. Then a large layer
    # exchanges activations. With its inputs split, whole matrices were gathered: 277 MB of
    # temporary memory instead of 12 for an MLP of 54 million parameters on eight devices.
    return max(dividing, key=lambda axis: (shape[axis], axis))


class Placement:
    """The devices of a spread, and where they keep states and batches.

    Args:
      devices: Those of this process by default.

    Raises:
      PlanError: There are too few.
    """

    def __init__(self, spread: Spread, devices: Sequence[Any] | None = None):
        there = jax.local_devices() if devices is None else devices
        spread.check_devices(len(there))
        self.spread = spread
        self._mesh = Mesh(there[: spread.devices], (_AXIS,))

    def of_state(self, tree: PyTree) -> PyTree:
        """Return where the leaves of a state are kept; they may be shapes."""
        return jax.tree.map(lambda leaf: self._split(self._axis_of(leaf.shape)), tree)

    def of_examples(self, tree: PyTree, *, axis: int) -> PyTree:
        """Return where arrays are kept whose examples lie along ``axis``.

        Examples that do not divide are kept whole on every device.
        """

        def where(leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
            return self._split(None if leaf.shape[axis] % self.spread.devices else axis)

        return jax.tree.map(where, tree)

    def place_state(self, tree: Tree) -> Tree:
        return jax.device_put(tree, self.of_state(tree))

    def place_examples(self, tree: Tree, *, axis: int = 0) -> Tree:
        return jax.device_put(tree, self.of_examples(tree, axis=axis))

    def settled(self, tree: Tree) -> Tree:
        """Return arrays; on a CPU, wait until they are computed.

        There, the devices of two programs at once would take each other's threads, and wait for
        each other for ever.
        """
        on_cpu = self._mesh.devices.flat[0].platform == "cpu"
        return jax.block_until_ready(tree) if on_cpu else tree

    def keep_state(self, tree: Tree) -> Tree:
        """Tell the compiler where a state is kept."""
        return jax.lax.with_sharding_constraint(tree, self.of_state(tree))

    def keep_examples(self, tree: Tree) -> Tree:
        """Tell the compiler where a batch is kept; its examples lie along the first axis."""
        return jax.lax.with_sharding_constraint(tree, self.of_examples(tree, axis=0))

    def tells(self, function: Function) -> Function:
        """Let a function see the devices, by `jax.sharding.get_abstract_mesh`, while it is traced.

        What it has for one CPU alone might gather arrays that are split.
        """

        @functools.wraps(function)
        def told(*args: object, **options: object) -> object:
            with jax.sharding.use_abstract_mesh(self._mesh.abstract_mesh):
                return function(*args, **options)

        return cast(Function, told)

    def _axis_of(self, shape: Sequence[int]) -> int | None:
        return split_axis(shape, self.spread.devices) if self.spread.state_parts > 1 else None

    def _split(self, axis: int | None) -> NamedSharding:
        spec = () if axis is None else (*(None,) * axis, _AXIS)
        return NamedSharding(self._mesh, PartitionSpec(*spec))
