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
SIZES: dict[str, tuple[int, ...]] = {
    "celo": (8, 1),
    "celo-adam": (8,),
    "celo2": (8,),
    "celo2-base": (8,),
    "velo-s": (8, 4),
    "adafac-mlp": (4,),
    "rnn-mlp": (8, 6, 5, 4, 3),
}


#: Those whose transformations are made of the code of another one: of VeLO's, or of Celo2's.
ALIKE = ("adafac-mlp", "celo", "celo2-base", "velo-s")


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


def _celo_adam(arrays: Arrays) -> None:
    arrays["rnn_params", "step_size", "b"] += math.log(500)  # a rate of 0.05


def _velo_s(arrays: Arrays) -> None:
    _follow_the_gradient(arrays)
    arrays["rnn_params", "rnn_to_controls", "b"] += 1
    arrays["rnn_params", "step_size", "b"] += 30  # steps of 3% of the parameters


def _adafac_mlp(arrays: Arrays) -> None:
    _follow_the_gradient(arrays, *(("nn", "~", f"w{i}") for i in range(3)), scale=30)


def _rnn_mlp(arrays: Arrays) -> None:
    layers = (("ffmod_params", f"mlp/~/linear_{i}", "w") for i in range(3))
    _follow_the_gradient(arrays, *layers, scale=30)


def _follow_the_gradient(arrays: Arrays, *layers: tuple[str, ...], scale: float = 1.0) -> None:
    """Let the direction be the first input: two units hold its positive and its negative part.

    ``layers`` are the places of the weights; by default, those of VeLO and Celo.
    """
    names = layers or [("ff_mod_stack", "~", name) for name in ("w0__0", "w1", "w2")]
    w0, w1, w2 = (arrays[place] for place in names)
    w0[..., 0, :2] += (1, -1)
    w1[..., 0, 0] += 1
    w1[..., 1, 1] += 1
    w2[..., :2, 0] += (scale, -scale)


_DOWNHILL: dict[str, Callable[[Arrays], None]] = {
    "celo": _celo,
    "celo-adam": _celo_adam,
    "celo2": _follow_the_gradient,
    "celo2-base": _follow_the_gradient,
    "velo-s": _velo_s,
    "adafac-mlp": _adafac_mlp,
    "rnn-mlp": _rnn_mlp,
}
