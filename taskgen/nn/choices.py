"""Config fields that families share: activations, initialisers, normalisation. No jax here."""

from __future__ import annotations

from typing import Any

from velodrome.taskgen.space.distributions import choice, uniform_float
from velodrome.taskgen.space.fields import dynamic

ACTIVATION_FLOPS = {
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
"""FLOPs for each number, in the forward and in the backward pass; a test traces them.

``gelu`` is the tanh approximation. ``abs_leaky_relu`` is the leaky ReLU with the published negative
slope of -0.5: it maps negative x to +0.5 |x|."""

ACTIVATIONS = tuple(ACTIVATION_FLOPS)
# The published list has twelve entries: relu is in it twice, and silu also as swish.
_ACTIVATION_WEIGHTS = (2, 1, 1, 1, 1, 1, 1, 2, 1, 1)

_SAMPLED_INITIALIZERS = ("orthogonal", "uniform", "normal", "vs_uniform")
# The published list has five entries, of which two are the same: normal.
_INITIALIZER_WEIGHTS = (1, 1, 2, 1)

INITIALIZERS = (*_SAMPLED_INITIALIZERS, "truncated")
"""Scaled by ``init_scale``, which multiplies the standard deviation of the first two and the
variance of the next two (a quirk of the published tasks, part of their distribution). The fixed
published tasks use ``truncated``, a truncated normal of standard deviation ``init_scale`` over the
root of the fan-in; it is never sampled."""

NORMALIZATIONS = ("none", "batch_norm", "layer_norm")
"""Names of what may normalise the layers of a network."""


def activation_field(default: str = "relu") -> Any:
    """Declare the config field ``activation`` with the published distribution."""
    distribution = choice(ACTIVATIONS, _ACTIVATION_WEIGHTS)
    return dynamic(distribution, allowed=ACTIVATIONS, default=default)


def initializer_field(default: str = "normal") -> Any:
    """Declare the config field ``initializer`` with the published distribution."""
    distribution = choice(_SAMPLED_INITIALIZERS, _INITIALIZER_WEIGHTS)
    return dynamic(distribution, allowed=INITIALIZERS, default=default)


def init_scale_field(default: float = 1.0) -> Any:
    """Declare the config field ``init_scale`` with the published distribution."""
    return dynamic(uniform_float(0.5, 2.0), allowed=(1e-3, 1e3), default=default)
