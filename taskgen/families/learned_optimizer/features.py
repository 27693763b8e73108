"""The features of a parameter that the per-parameter networks among the update rules see.

Metz et al. 2020 (arXiv 2009.11243) for the momenta; Metz et al. 2022 (arXiv 2203.11860) for the
features of Adafactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

MLP_DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
RMS_DECAYS = (0.999,)
FACTORED_DECAYS = (0.9, 0.99, 0.999)


Memory = dict[str, jax.Array]


class Features(NamedTuple):
    """The input of a per-parameter network.

    Attributes:
      count: Features of a parameter.
      init: Returns the weights that are not the network's.
      start: ``start(p)`` returns a tensor's memory.
      look: ``look(weights, memory, p, g)`` returns f32[count, *p.shape] and the new memory.
    """

    count: int  # pyright: ignore[reportIncompatibleMethodOverride] - a tuple has such a method
    init: Callable[[], Memory]
    start: Callable[[jax.Array], Memory]
    look: Callable[[Memory, Memory, jax.Array, jax.Array], tuple[jax.Array, Memory]]


def mlp_features() -> Features:
    """Return gradient, parameter, and momenta at six fixed time scales."""

    def start(p):
        return {"momentum": jnp.zeros((len(MLP_DECAYS), *p.shape), jnp.float32)}

    def look(weights, memory, p, g):
        momentum = _averaged(memory["momentum"], g, jnp.asarray(MLP_DECAYS, jnp.float32))
        return jnp.concatenate([g[None], p[None], momentum]), {"momentum": momentum}

    return Features(2 + len(MLP_DECAYS), dict, start, look)


def adafactor_features() -> Features:
    """Return momenta, second moments and factored ones (Shazeer and Stern 2018, arXiv 1804.04235).

    The decays are trained, as offsets.
    """
    kinds = {
        "momentum": MOMENTUM_DECAYS,
        "rms": RMS_DECAYS,
        "factored": FACTORED_DECAYS,
    }
    momenta, rms_count, factored = (len(decays) for decays in kinds.values())
    count = 2 + 2 * momenta + 2 * rms_count + 6 * factored

    def init():
        return {
            f"{kind}_decay": jnp.zeros(len(decays), jnp.float32) for kind, decays in kinds.items()
        }

    def start(p):
        memory = {
            "momentum": jnp.zeros((momenta, *p.shape), jnp.float32),
            "rms": jnp.zeros((rms_count, *p.shape), jnp.float32),
        }
        axes = factored_axes(p.shape)
        if axes is None:
            return {**memory, "second": jnp.zeros((factored, *p.shape), jnp.float32)}
        rows, columns = (list(p.shape) for _ in axes)
        rows[axes[1]] = columns[axes[0]] = 1
        return {
            **memory,
            "rows": jnp.zeros((factored, *rows), jnp.float32),
            "columns": jnp.zeros((factored, *columns), jnp.float32),
        }

    def look(weights, memory, p, g):
        decays = {kind: _trained_decays(weights[f"{kind}_decay"], kinds[kind]) for kind in kinds}
        after = {
            "momentum": _averaged(memory["momentum"], g, decays["momentum"]),
            "rms": _averaged(memory["rms"], g * g, decays["rms"]),
        }
        momentum, root = after["momentum"], jax.lax.rsqrt(after["rms"] + 1e-6)
        square, axes = g * g + 1e-30, factored_axes(p.shape)
        if axes is None:
            rows = columns = _averaged(memory["second"], square, decays["factored"])
            after["second"] = rows
            scaled = g[None] * _safe_rsqrt(rows + 1e-9)
            factored_momentum = momentum * jax.lax.rsqrt(rows + 1e-6)
        else:
            rows, columns = (
                _averaged(memory[name], square.mean(axis, keepdims=True), decays["factored"])
                for name, axis in (("rows", axes[1]), ("columns", axes[0]))
            )
            after["rows"], after["columns"] = rows, columns
            overall = rows.mean(axes[0] + 1, keepdims=True)
            factor = _safe_rsqrt(rows / (overall + 1e-9)) * _safe_rsqrt(columns)
            scaled, factored_momentum = g[None] * factor, momentum * factor
        full = (factored, *p.shape)
        parts = [g[None], p[None], momentum, after["rms"], momentum * root, root, scaled]
        for values in (rows, columns, jax.lax.rsqrt(rows + 1e-8), jax.lax.rsqrt(columns + 1e-8)):
            parts.append(jnp.broadcast_to(values, full))
        return jnp.concatenate([*parts, factored_momentum]), after

    return Features(count, init, start, look)


def factored_axes(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the second largest and the largest axis (the later of equals); None for vectors."""
    if len(shape) < 2:
        return None
    order = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return order[-2], order[-1]


def _trained_decays(offsets: jax.Array, decays: tuple[float, ...]) -> jax.Array:
    return 1 - (1 - jnp.asarray(decays, jnp.float32)) * jnp.exp(10 * offsets)


def _averaged(average: jax.Array, value: jax.Array, decays: jax.Array) -> jax.Array:
    decays = decays.reshape(-1, *(1,) * value.ndim)
    return decays * average + (1 - decays) * value[None]


def _safe_rsqrt(x: jax.Array) -> jax.Array:
    return jax.lax.rsqrt(jnp.maximum(x, 1e-9))
