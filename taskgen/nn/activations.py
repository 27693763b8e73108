"""The activations that published tasks draw from, by traced index."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from velodrome.taskgen.functions import Scalar
from velodrome.taskgen.nn.choices import ACTIVATIONS


def abs_leaky_relu(x: jax.Array) -> jax.Array:
    return jnp.where(x >= 0, x, -0.5 * x)


_TABLE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "tanh": jnp.tanh,
    "cos": jnp.cos,
    "sin": jnp.sin,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
    "abs_leaky_relu": abs_leaky_relu,
}
_FUNCTIONS = tuple(_TABLE[name] for name in ACTIVATIONS)


def activate(x: jax.Array, index: Scalar) -> jax.Array:
    """Apply an activation elementwise.

    A Python integer ``index`` into :data:`~velodrome.taskgen.nn.choices.ACTIVATIONS` picks one
    function for the compiler; a traced one becomes a switch, which computes all of them under
    ``vmap``.
    """
    if isinstance(index, int):
        return _FUNCTIONS[index](x)
    return jax.lax.switch(index, _FUNCTIONS, x)
