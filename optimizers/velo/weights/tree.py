"""`VeLOWeights`: the meta-learned numbers of VeLO as one pytree, and its official key tree.

Architecture: Metz et al. 2022 (arXiv 2211.09760), class ``HyperV2`` of google/learned_optimization.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import jax
    from jax import Array

#: Inputs of the per-tensor LSTM.
LSTM_INPUTS = 30

#: Width of the two hidden layers of a per-parameter network.
WIDTH = 4

#: Outputs of a per-parameter network: direction, log-magnitude, and one that is never used.
OUTPUTS = 3

#: Channels in each group of inputs of a per-parameter network, in the order the layer reads them.
INPUT_GROUPS = (1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3)

#: All input channels of a per-parameter network.
CHANNELS = sum(INPUT_GROUPS)


#: Our names of layers and those in the official file.
LAYERS = {
    "pool": "linear_1",
    "project": "linear_2",
    "lstm": "rnn/linear",
    "controls": "rnn_to_controls",
    "step_size": "step_size",
}

#: Arrays of the bank that have one name here and in the official file.
BANK = ("b0", "w1", "b1", "w2", "b2")


class VeLOWeights(NamedTuple):
    """The meta-learned weights: a per-tensor LSTM and a bank of per-parameter networks.

    A pytree of float32 arrays, of jax or (straight from a file) of NumPy. ``hidden`` is the size
    of the LSTM (512 in the published optimizer) and ``bank`` the number of networks (256).

    Examples:
      >>> velodrome.load_weights("velo-tiny").lstm_w.shape
      (64, 128)
    """

    initial_hidden: Float[Array, " hidden"]
    initial_cell: Float[Array, " hidden"]
    pool_w: Float[Array, "inputs hidden"]
    pool_b: Float[Array, " hidden"]
    project_w: Float[Array, "inputs hidden"]
    project_b: Float[Array, " hidden"]
    lstm_w: Float[Array, "double_hidden gates"]
    lstm_b: Float[Array, " gates"]
    controls_w: Float[Array, "hidden bank"]
    controls_b: Float[Array, " bank"]
    step_size_w: Float[Array, "hidden 1"]
    step_size_b: Float[Array, " 1"]
    bank_w0: Float[Array, "bank channels width"]
    bank_b0: Float[Array, "bank width"]
    bank_w1: Float[Array, "bank width width"]
    bank_b1: Float[Array, "bank width"]
    bank_w2: Float[Array, "bank width outputs"]
    bank_b2: Float[Array, "bank outputs"]

    @property
    def hidden_size(self) -> int:
        return self.initial_hidden.shape[-1]

    @property
    def bank_size(self) -> int:
        """Number of per-parameter networks that are mixed."""
        return self.controls_b.shape[-1]

    @classmethod
    def from_official(cls, arrays: Mapping[tuple[str, ...], Any]) -> VeLOWeights:
        """Return the weights in the official file: its arrays by their names from the root.

        The file's ``rnn_params > linear`` layer is left out: the network computes it and never uses
        the result.
        """
        named = {
            **recurrent_arrays(arrays, LAYERS),
            **bank_arrays(arrays),
        }
        return cls.of({name: np.asarray(value, np.float32) for name, value in named.items()})

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> VeLOWeights:
        """Return weights of arrays, of jax or of NumPy, by the names of the fields."""
        return cls(**arrays)


def recurrent_arrays(
    arrays: Mapping[tuple[str, ...], Any], layers: Mapping[str, str]
) -> dict[str, Any]:
    """Return the LSTM's initial state and some of its `LAYERS`, by our names."""
    state = {f"initial_{part}": arrays["lstm_init_state", part][0] for part in ("hidden", "cell")}
    return state | {
        f"{ours}_{kind}": arrays["rnn_params", name, kind]
        for ours, name in layers.items()
        for kind in "wb"
    }


def bank_arrays(arrays: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Return the bank of per-parameter networks, by our names."""
    path = ("ff_mod_stack", "~")
    # By number: sorted as text, group 10 would come before group 2.
    groups = [np.asarray(arrays[*path, f"w0__{i}"]) for i in range(len(INPUT_GROUPS))]
    return {
        "bank_w0": np.concatenate(groups, axis=-2),
        **{f"bank_{name}": arrays[*path, name] for name in BANK},
    }


def init_weights(key: jax.Array, hidden: int, bank: int) -> VeLOWeights:
    """Return untrained weights: truncated normals of variance 1 / fan-in, biases and state zero."""
    import jax  # noqa: PLC0415 - reading weights needs no jax

    shapes = weight_shapes(hidden, bank)
    keys = jax.random.split(key, len(shapes))

    def draw(name: str, shape: tuple[int, ...], key: jax.Array) -> jax.Array:
        if not name.endswith(("_w", "_w0", "_w1", "_w2")):
            return jax.numpy.zeros(shape, jax.numpy.float32)
        return jax.random.truncated_normal(key, -2.0, 2.0, shape) / math.sqrt(shape[-2])

    return VeLOWeights.of(
        {
            name: draw(name, shape, key)
            for (name, shape), key in zip(shapes.items(), keys, strict=True)
        }
    )


def weight_shapes(hidden: int, bank: int, inputs: int = LSTM_INPUTS) -> dict[str, tuple[int, ...]]:
    """Return the shape of each field of `VeLOWeights`."""
    return {
        "initial_hidden": (hidden,),
        "initial_cell": (hidden,),
        "pool_w": (inputs, hidden),
        "pool_b": (hidden,),
        "project_w": (inputs, hidden),
        "project_b": (hidden,),
        "lstm_w": (2 * hidden, 4 * hidden),
        "lstm_b": (4 * hidden,),
        "controls_w": (hidden, bank),
        "controls_b": (bank,),
        "step_size_w": (hidden, 1),
        "step_size_b": (1,),
        "bank_w0": (bank, CHANNELS, WIDTH),
        "bank_b0": (bank, WIDTH),
        "bank_w1": (bank, WIDTH, WIDTH),
        "bank_b1": (bank, WIDTH),
        "bank_w2": (bank, WIDTH, OUTPUTS),
        "bank_b2": (bank, OUTPUTS),
    }
