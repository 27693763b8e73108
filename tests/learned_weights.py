"""Small made-up weights of the published learned optimizers, in files, that go downhill."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgpack
import numpy as np

from velodrome.optimizers.learned.weights.published import PUBLISHED
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.optimizers.velo.weights.msgpack import Arrays

#: For each optimizer, sizes of its layers (those of its layout).
SIZES: dict[str, tuple[int, ...]] = {"celo": (8, 1)}


def spec_of(name: str) -> OptimizerSpec:
    """Return a registered optimizer; a published one with `made` weights."""
    if name not in PUBLISHED:
        return optimizers.get(name)
    path = Path(os.environ["VELODROME_CACHE"]) / f"{name}.state"
    if not path.is_file():
        path.write_bytes(packed(made(name)))
    return optimizers.get(f"{name}:{path}")


@cache
def made(name: str) -> Arrays:
    """Return noise of 0.02 in all arrays, and on top of it a network that follows the gradient."""
    rng = np.random.default_rng(0)
    shapes = PUBLISHED[name].tree.layout.shapes(*SIZES[name])
    arrays = {names: 0.02 * rng.normal(size=shape) for names, shape in shapes.items()}
    _DOWNHILL[name](arrays)
    return {names: array.astype(np.float32) for names, array in arrays.items()}


def packed(arrays: Arrays) -> bytes:
    """Return a file as flax.serialization writes it: arrays as msgpack extension 1."""
    tree: dict = {}
    for names, array in arrays.items():
        node = tree
        for part in names[:-1]:
            node = node.setdefault(part, {})
        data = (array.shape, array.dtype.name, array.tobytes())
        node[names[-1]] = msgpack.ExtType(1, msgpack.packb(data, use_bin_type=True) or b"")
    return msgpack.packb(tree) or b""


def _celo(arrays: Arrays) -> None:
    _follow_the_gradient(arrays)
    arrays["rnn_params", "step_size", "b"] += math.log(10 * 30)  # steps of 3% of the parameters


def _follow_the_gradient(arrays: Arrays) -> None:
    """Let the direction be the first input: two units hold its positive and its negative part."""
    w0, w1, w2 = (arrays["ff_mod_stack", "~", name] for name in ("w0__0", "w1", "w2"))
    w0[..., 0, :2] += (1, -1)
    w1[..., 0, 0] += 1
    w1[..., 1, 1] += 1
    w2[..., :2, 0] += (1, -1)


_DOWNHILL: dict[str, Callable[[Arrays], None]] = {"celo": _celo}
