"""Take out of a controller what cannot change a step; see `reads`."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, Int

from velodrome.optimizers.velo.controller import Controller
from velodrome.optimizers.velo.reads import B0, EVERYTHING, PARTS, STARTS, STEP, W0, Reads
from velodrome.optimizers.velo.weights.tree import WIDTH

_GATES = 4


def prune(controller: Controller) -> tuple[Controller, Reads]:
    """Return the controller without what never reaches a step, and what is left to read.

    Units of the LSTM and numbers of the networks go, the inputs stay; the units that remain may
    have another order. Weights that are traced (as in meta-training) are not known, and stay whole.
    """
    if any(isinstance(leaf, Tracer) for leaf in controller):
        return controller, EVERYTHING
    stacked, reads = prune_alike([controller])
    with jax.ensure_compile_time_eval():
        return Controller(*(leaf[0] for leaf in stacked)), reads


def prune_alike(controllers: Sequence[Controller]) -> tuple[Controller, Reads]:
    """Return controllers, stacked, without what reaches a step in none of them; see `prune`.

    So candidates of a search, which have their zeros in common, run side by side in one program.
    """
    old = {
        name: np.stack([np.asarray(getattr(one, name)) for one in controllers])
        for name in Controller._fields
    }
    hidden_w, head_w, head_b = old["hidden_w"], old["head_w"], old["head_b"]
    written = (head_w != 0).any(axis=(0, 1))
    alive = live_numbers(written | (head_b != 0).any(axis=0))
    mirrored = _mirrored_units(alive, head_w, head_b)
    for unit, _ in mirrored:
        alive[_numbers_of_unit(unit)] = False
    # Numbers of the first layer and the step size are scaled at each update: never constants.
    fixed = alive & ~written & (head_b == head_b[0]).all(axis=0)
    fixed[: PARTS[W0]] = fixed[STARTS[STEP]] = False
    network = alive & ~fixed
    units = _live_units(hidden_w, (head_w[:, :, network] != 0).any(axis=(0, 2)))
    remembered = (hidden_w[:, :, np.tile(units, _GATES)] != 0).any(axis=(0, 2))
    # Units that no gate reads at the next update come last: their outputs are not kept.
    kept = np.flatnonzero(units & remembered)
    order = np.concatenate([kept, np.flatnonzero(units & ~remembered)])
    gates = (np.arange(_GATES)[:, None] * len(units) + order).reshape(-1)
    # A pooled unit without weights on the inputs is a constant: it stays for the sake of its bias.
    pooled = (old["pooled_w"][:, :, gates] != 0).any(axis=(0, 2))
    columns = np.concatenate([np.flatnonzero(pooled), len(pooled) + gates])
    input_w = old["input_w"][:, :, columns]
    new = {
        "initial_hidden": old["initial_hidden"][:, kept],
        "initial_cell": old["initial_cell"][:, order],
        "input_w": input_w,
        "pool_b": old["pool_b"][:, pooled],
        "gates_b": old["gates_b"][:, gates],
        "pooled_w": old["pooled_w"][:, pooled][:, :, gates],
        "hidden_w": hidden_w[:, kept][:, :, gates],
        "head_w": head_w[:, order][:, :, network],
        "head_b": head_b[:, network],
    }
    reads = Reads(
        network=tuple(np.flatnonzero(network).tolist()),
        inputs=tuple(np.flatnonzero((input_w != 0).any(axis=(0, 2))).tolist()),
        fixed=tuple((int(at), float(head_b[0, at])) for at in np.flatnonzero(fixed)),
        mirrored=mirrored,
    )
    # Constants, even where a transformation is built inside a traced function.
    with jax.ensure_compile_time_eval():
        return Controller(**{name: jnp.asarray(leaf) for name, leaf in new.items()}), reads


def _numbers_of_unit(unit: int) -> Int[np.ndarray, " numbers"]:
    """Return the positions of what a hidden unit of the first layer is made of."""
    weights = np.arange(unit, PARTS[W0], WIDTH)
    return np.append(weights, STARTS[B0] + unit)


def _mirrored_units(
    alive: Bool[np.ndarray, " flat"],
    head_w: Float[np.ndarray, "copy hidden flat"],
    head_b: Float[np.ndarray, "copy flat"],
) -> tuple[tuple[int, int], ...]:
    """Return the units of the first layer that are the negative of an earlier one, and those."""
    made_of = np.concatenate([head_w, head_b[:, None]], axis=1)
    made = {
        unit: made_of[:, :, numbers] * alive[numbers]
        for unit in range(WIDTH)
        if alive[numbers := _numbers_of_unit(unit)].any()
    }
    mirrored: dict[int, int] = {}
    for unit in made:
        earlier = (other for other in made if other < unit and other not in mirrored)
        match = next((other for other in earlier if (made[other] == -made[unit]).all()), None)
        if match is not None:
            mirrored[unit] = match
    return tuple(mirrored.items())


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
    hidden_w: Float[np.ndarray, "copy hidden gates"], read: Bool[np.ndarray, " hidden"]
) -> Bool[np.ndarray, " hidden"]:
    """Return which units of the LSTM are read, by the networks or by other units that are."""
    units = read
    reads = (hidden_w != 0).any(axis=0).reshape(len(units), _GATES, len(units)).any(axis=1)
    while (more := units | reads[:, units].any(axis=1)).sum() > units.sum():
        units = more
    return units
