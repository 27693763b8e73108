"""The arrays in the files of learned optimizers, and the weights that they make.

All files are flax msgpack of one tree of float32 arrays, as amoudgl/celo writes them (commit
66d9761); `msgpack` checks every name and shape. Sizes of layers are free, numbers of inputs not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from velodrome.optimizers.velo.weights.msgpack import Arrays, Layout, Shapes, official_shapes
from velodrome.optimizers.velo.weights.tree import (
    LAYERS,
    VeLOWeights,
    bank_arrays,
    recurrent_arrays,
)

if TYPE_CHECKING:
    from jax import Array

#: Inputs of Celo's scheduler: of VeLO's, those that all tensors share.
SCHEDULER_INPUTS = 18

_SCHEDULER_LAYERS = {ours: name for ours, name in LAYERS.items() if ours != "controls"}

_MSGPACK = "flax msgpack (the published file has {:,} bytes)"
_LSTM = ("lstm_init_state", "hidden")
_BANK = ("rnn_params", "rnn_to_controls", "b")


class SchedulerWeights(NamedTuple):
    """An LSTM with `SCHEDULER_INPUTS`, and the layer that makes a step size of its units."""

    initial_hidden: Float[Array, " hidden"]
    initial_cell: Float[Array, " hidden"]
    pool_w: Float[Array, "inputs hidden"]
    pool_b: Float[Array, " hidden"]
    project_w: Float[Array, "inputs hidden"]
    project_b: Float[Array, " hidden"]
    lstm_w: Float[Array, "double_hidden gates"]
    lstm_b: Float[Array, " gates"]
    step_size_w: Float[Array, "hidden 1"]
    step_size_b: Float[Array, " 1"]


class CeloWeights(NamedTuple):
    """A scheduler, and a bank of per-parameter networks that it mixes; published is a bank of 1."""

    scheduler: SchedulerWeights
    controls_w: Float[Array, "hidden bank"]
    controls_b: Float[Array, " bank"]
    bank_w0: Float[Array, "bank channels width"]
    bank_b0: Float[Array, "bank width"]
    bank_w1: Float[Array, "bank width width"]
    bank_b1: Float[Array, "bank width"]
    bank_w2: Float[Array, "bank width outputs"]
    bank_b2: Float[Array, "bank outputs"]


@dataclass(frozen=True)
class Tree:
    """A kind of tree: its layout in a file, and how weights are made of its arrays."""

    layout: Layout
    build: Callable[[Arrays], Any]


def _scheduler(arrays: Arrays) -> SchedulerWeights:
    return SchedulerWeights(**_float32(recurrent_arrays(arrays, _SCHEDULER_LAYERS)))


def _celo(arrays: Arrays) -> CeloWeights:
    controls = {f"controls_{kind}": arrays["rnn_params", "rnn_to_controls", kind] for kind in "wb"}
    return CeloWeights(_scheduler(arrays), **_float32(controls | bank_arrays(arrays)))


def _celo_adam_shapes(hidden: int) -> Shapes:
    celo = official_shapes(hidden, 1, SCHEDULER_INPUTS)
    return {
        names: shape
        for names, shape in celo.items()
        if names[0] != "ff_mod_stack" and "rnn_to_controls" not in names
    }


def _float32(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


CELO = Tree(
    Layout(
        "Celo",
        _MSGPACK.format(149_216),
        {"LSTM": _LSTM, "bank": _BANK},
        partial(official_shapes, inputs=SCHEDULER_INPUTS),
    ),
    _celo,
)
CELO_ADAM = Tree(
    Layout("celo-adam", _MSGPACK.format(147_803), {"LSTM": _LSTM}, _celo_adam_shapes), _scheduler
)
VELO_S = Tree(
    Layout("velo-s", _MSGPACK.format(186_246), {"LSTM": _LSTM, "bank": _BANK}, official_shapes),
    VeLOWeights.from_official,
)
