"""The activations that published tasks draw from, by name or by traced index."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from velodrome.taskgen.space.config import choice, dynamic

NAMES = (
    "relu",
    "relu6",
    "selu",
    "tanh",
    "cos",
    "sin",
    "sigmoid",
    "silu",
    "gelu",
    "abs_leaky_relu",
)
"""``gelu`` is the tanh approximation. ``abs_leaky_relu`` is the leaky ReLU with the published
negative slope of -0.5: it maps negative x to +0.5 |x|."""

WEIGHTS = (2, 1, 1, 1, 1, 1, 1, 2, 1, 1)
"""The published list has twelve entries: relu is in it twice, and silu also as swish."""

FLOPS = {
    "relu": (1, 0),
    "relu6": (2, 0),
    "selu": (3, 5),
    "tanh": (1, 4),
    "cos": (1, 3),
    "sin": (1, 2),
    "sigmoid": (1, 3),
    "silu": (2, 6),
    "gelu": (8, 14),
    "abs_leaky_relu": (1, 2),
}
"""FLOPs for each number, in the forward and in the backward pass; a test traces them."""


def activation_field(default: str = "relu") -> Any:
    """Declares the config field ``activation`` with the published distribution."""
    return dynamic(choice(NAMES, WEIGHTS), allowed=NAMES, default=default)


@functools.cache
def functions() -> tuple[Callable[[Any], Any], ...]:
    """Returns the functions in the order of :data:`NAMES`."""
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    def abs_leaky_relu(x):
        return jnp.where(x >= 0, x, -0.5 * x)

    table = {
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
    return tuple(table[name] for name in NAMES)


def activate(x: Any, index: Any) -> Any:
    """Applies an activation elementwise.

    Args:
      x: Any array of floats.
      index: Index into :data:`NAMES`. A Python integer picks one function for the compiler; a
        traced one becomes a switch, which computes all of them under ``vmap``.

    Returns:
      An array like ``x``.
    """
    if isinstance(index, int):
        return functions()[index](x)
    import jax  # here, so that sampling needs no jax

    return jax.lax.switch(index, functions(), x)
