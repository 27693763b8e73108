"""Take out of a controller what cannot change a step; see `reads`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float

from velodrome.optimizers.velo.controller import Controller
from velodrome.optimizers.velo.reads import EVERYTHING, PARTS, STARTS, Reads
from velodrome.optimizers.velo.weights.tree import WIDTH

_GATES = 4


def prune(controller: Controller) -> tuple[Controller, Reads]:
    """Return the controller without what never reaches a step, and what is left to read.

    Units of the LSTM and numbers of the networks go, the inputs stay. Weights that are traced (as
    in meta-training) are not known, and stay whole.
    """
    if any(isinstance(leaf, Tracer) for leaf in controller):
        return controller, EVERYTHING
    old = {name: np.asarray(leaf) for name, leaf in controller._asdict().items()}
    network = live_numbers((old["head_w"] != 0).any(axis=0) | (old["head_b"] != 0))
    units = _live_units(old["hidden_w"], (old["head_w"][:, network] != 0).any(axis=1))
    gates = np.tile(units, _GATES)
    # A pooled unit without weights on the inputs is a constant: it stays for the sake of its bias.
    pooled = (old["pooled_w"][:, gates] != 0).any(axis=1)
    input_w = old["input_w"][:, np.concatenate([pooled, gates])]
    new = {
        "initial_hidden": old["initial_hidden"][units],
        "initial_cell": old["initial_cell"][units],
        "input_w": input_w,
        "pool_b": old["pool_b"][pooled],
        "gates_b": old["gates_b"][gates],
        "pooled_w": old["pooled_w"][pooled][:, gates],
        "hidden_w": old["hidden_w"][units][:, gates],
        "head_w": old["head_w"][units][:, network],
        "head_b": old["head_b"][network],
    }
    inputs = (input_w != 0).any(axis=1)
    reads = Reads(*(tuple(np.flatnonzero(alive).tolist()) for alive in (network, inputs)))
    # Constants, even where a transformation is built inside a traced function.
    with jax.ensure_compile_time_eval():
        return Controller(**{name: jnp.asarray(leaf) for name, leaf in new.items()}), reads


def live_numbers(written: Bool[np.ndarray, " flat"]) -> Bool[np.ndarray, " flat"]:
    """Return which numbers of the networks matter, of those that the head writes."""
    alive = written.copy()
    w0, b0, w1, b1, w2, _, step = (
        alive[start : start + size] for start, size in zip(STARTS, PARTS, strict=False)
    )
    w0, w1, w2 = w0.reshape(-1, WIDTH), w1.reshape(WIDTH, WIDTH), w2.reshape(WIDTH, -1)
    # A unit that is always zero is read in vain; a unit that nobody reads is computed in vain.
    w1 &= (w0.any(axis=0) | b0)[:, None]
    w2 &= (w1.any(axis=0) | b1)[:, None]
    second = w2.any(axis=1)
    w1 &= second
    b1 &= second
    first = w1.any(axis=1)
    w0 &= first
    b0 &= first
    step[:] = True
    return alive


def _live_units(
    hidden_w: Float[np.ndarray, "hidden gates"], read: Bool[np.ndarray, " hidden"]
) -> Bool[np.ndarray, " hidden"]:
    """Return which units of the LSTM are read, by the networks or by other units that are."""
    units = read
    reads = (hidden_w != 0).reshape(len(units), _GATES, len(units)).any(axis=1)
    while (more := units | reads[:, units].any(axis=1)).sum() > units.sum():
        units = more
    return units
