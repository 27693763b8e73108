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
    INPUT_GROUPS,
    LAYERS,
    OUTPUTS,
    VeLOWeights,
    bank_arrays,
    recurrent_arrays,
)

if TYPE_CHECKING:
    from jax import Array

#: Inputs of Celo's scheduler: of VeLO's, those that all tensors share.
SCHEDULER_INPUTS = 18

# Inputs that do not depend on the sizes of layers: of adafac-mlp's network, of rnn-mlp's LSTM, and
# of rnn-mlp's network.
_ADAFAC_INPUTS, _RNN_INPUTS, _MLP_INPUTS = 39, 18, 37

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


class Celo2Weights(NamedTuple):
    """One network for all parameters; channels are in the published order."""

    w0: Float[Array, "channels width"]
    b0: Float[Array, " width"]
    w1: Float[Array, "width width"]
    b1: Float[Array, " width"]
    w2: Float[Array, "width outputs"]
    b2: Float[Array, " outputs"]


class AdafacMLPWeights(NamedTuple):
    """One network for all parameters, and shifts of the decays of its averages."""

    momentum_decays: Float[Array, " 3"]
    rms_decays: Float[Array, " 1"]
    adafactor_decays: Float[Array, " 3"]
    w0: Float[Array, "channels width"]
    b0: Float[Array, " width"]
    w1: Float[Array, "width width"]
    b1: Float[Array, " width"]
    w2: Float[Array, "width 2"]
    b2: Float[Array, " 2"]


class RNNMLPWeights(NamedTuple):
    """An LSTM for each tensor, a network for each parameter, and what they tell each other."""

    initial_from_lstm: Float[Array, " from_lstm"]
    initial_from_mlp: Float[Array, " from_mlp"]
    initial_hidden: Float[Array, " hidden"]
    initial_cell: Float[Array, " hidden"]
    lstm_w: Float[Array, "inputs_and_hidden gates"]
    lstm_b: Float[Array, " gates"]
    to_ff_w: Float[Array, "hidden to_ff"]
    to_ff_b: Float[Array, " to_ff"]
    to_in_w: Float[Array, "hidden from_lstm"]
    to_in_b: Float[Array, " from_lstm"]
    w0: Float[Array, "channels width"]
    b0: Float[Array, " width"]
    w1: Float[Array, "width width"]
    b1: Float[Array, " width"]
    w2: Float[Array, "width outputs"]
    b2: Float[Array, " outputs"]


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


def _celo2_shapes(width: int) -> Shapes:
    path = ("ff_mod_stack", "~")
    layers = _layer_shapes((width, width, OUTPUTS))
    return {
        **{(*path, f"w0__{i}"): (count, width) for i, count in enumerate(INPUT_GROUPS)},
        **{(*path, name): shape for name, shape in layers.items()},
    }


def _celo2(arrays: Arrays) -> Celo2Weights:
    bank = bank_arrays(arrays)
    return Celo2Weights(
        **_float32({name.removeprefix("bank_"): array for name, array in bank.items()})
    )


def _adafac_mlp_shapes(width: int) -> Shapes:
    layers = {"w0": (_ADAFAC_INPUTS, width)} | _layer_shapes((width, width, 2))
    return {
        ("momentum_decays",): (3,),
        ("rms_decays",): (1,),
        ("adafactor_decays",): (3,),
        **{("nn", "~", name): shape for name, shape in layers.items()},
    }


def _adafac_mlp(arrays: Arrays) -> AdafacMLPWeights:
    return AdafacMLPWeights(**_float32({names[-1]: array for names, array in arrays.items()}))


def _rnn_mlp_shapes(hidden: int, width: int, from_lstm: int, from_mlp: int, to_ff: int) -> Shapes:
    inputs = _RNN_INPUTS + from_lstm + from_mlp
    layers = {"w0": (_MLP_INPUTS + to_ff, width)} | _layer_shapes((width, width, 2 + from_mlp))
    return {
        **{_mlp_layer(name): shape for name, shape in layers.items()},
        ("initial_from_lstm",): (from_lstm,),
        ("initial_from_mlp",): (from_mlp,),
        ("lstm_init_state", "hidden"): (1, hidden),
        ("lstm_init_state", "cell"): (1, hidden),
        ("rnn_params", "rnn/linear", "w"): (inputs + hidden, 4 * hidden),
        ("rnn_params", "rnn/linear", "b"): (4 * hidden,),
        ("rnn_to_ff_params", "rnn_to_ff", "w"): (hidden, to_ff),
        ("rnn_to_ff_params", "rnn_to_ff", "b"): (to_ff,),
        ("rnn_to_in_params", "rnn_to_in", "w"): (hidden, from_lstm),
        ("rnn_to_in_params", "rnn_to_in", "b"): (from_lstm,),
    }


def _rnn_mlp(arrays: Arrays) -> RNNMLPWeights:
    kinds = "wb"
    return RNNMLPWeights(
        **_float32(
            {
                "initial_from_lstm": arrays["initial_from_lstm",],
                "initial_from_mlp": arrays["initial_from_mlp",],
                **recurrent_arrays(arrays, {"lstm": "rnn/linear"}),
                **{f"to_ff_{k}": arrays["rnn_to_ff_params", "rnn_to_ff", k] for k in kinds},
                **{f"to_in_{k}": arrays["rnn_to_in_params", "rnn_to_in", k] for k in kinds},
                **{f"{k}{i}": arrays[_mlp_layer(f"{k}{i}")] for k in kinds for i in range(3)},
            }
        )
    )


def _layer_shapes(widths: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all but the first weights of three layers."""
    biases = {f"b{i}": (width,) for i, width in enumerate(widths)}
    return biases | {"w1": widths[:2], "w2": widths[1:]}


def _mlp_layer(name: str) -> tuple[str, ...]:
    """Return where the layer of `RNNMLPWeights` of this name, such as ``"w0"``, is in its file."""
    return ("ffmod_params", f"mlp/~/linear_{name[1]}", name[0])


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
CELO2 = Tree(
    Layout("Celo2", _MSGPACK.format(1_833), {"width": ("ff_mod_stack", "~", "b0")}, _celo2_shapes),
    _celo2,
)
ADAFAC_MLP = Tree(
    Layout("adafac-mlp", _MSGPACK.format(1_007), {"width": ("nn", "~", "b0")}, _adafac_mlp_shapes),
    _adafac_mlp,
)
RNN_MLP = Tree(
    Layout(
        "rnn-mlp",
        _MSGPACK.format(143_719),
        {
            "LSTM": _LSTM,
            "width": _mlp_layer("b0"),
            "from LSTM": ("initial_from_lstm",),
            "from MLP": ("initial_from_mlp",),
            "to MLP": ("rnn_to_ff_params", "rnn_to_ff", "b"),
        },
        _rnn_mlp_shapes,
    ),
    _rnn_mlp,
)
