"""Weight initialisers: those that published tasks draw from, and the fixed ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from velodrome.taskgen.space.config import choice, dynamic, uniform_float

SAMPLED = ("orthogonal", "uniform", "normal", "vs_uniform")
NAMES = (*SAMPLED, "truncated")
"""Scaled by ``init_scale``, which multiplies the standard deviation of the first two and the
variance of the next two (a quirk of the published tasks, part of their distribution).
``truncated``, :func:`fan_in_truncated_normal` with a standard deviation times ``init_scale``, is
that of the published fixed tasks; it is never sampled."""

WEIGHTS = (1, 1, 2, 1)
"""The published list has five entries, of which two are the same: normal."""

TRUNCATION_STD = 0.87962566103423978
"""Standard deviation of a standard normal truncated to +-2."""


def initializer_field(default: str = "normal") -> Any:
    """Declares the config field ``initializer`` with the published distribution."""
    return dynamic(choice(SAMPLED, WEIGHTS), allowed=NAMES, default=default)


def init_scale_field(default: float = 1.0) -> Any:
    """Declares the config field ``init_scale`` with the published distribution."""
    return dynamic(uniform_float(0.5, 2.0), allowed=(1e-3, 1e3), default=default)


def kernel_initializer(dynamic: Mapping[str, Any]) -> Callable[..., Any]:
    """Returns the initialiser that the fields of a config choose.

    Args:
      dynamic: Values of the fields ``initializer`` (an index into :data:`NAMES`) and
        ``init_scale``, see :func:`sampled_initializer`.
    """
    return sampled_initializer(dynamic["initializer"], dynamic["init_scale"])


def sampled_initializer(index: Any, scale: Any) -> Callable[..., Any]:
    """Returns the initialiser of a kernel whose last axis is its output.

    Args:
      index: Index into :data:`NAMES`: a Python integer picks one, a traced one is a switch.
      scale: ``init_scale``; see :data:`NAMES`.
    """
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    make = jax.nn.initializers

    def uniform(key, shape, dtype):
        limit = scale * math.sqrt(3 / math.prod(shape[:-1]))
        return limit * jax.random.uniform(key, shape, dtype, -1, 1)

    choices = (
        orthogonal(scale),
        uniform,
        make.variance_scaling(scale, "fan_in", "normal"),
        make.variance_scaling(scale, "fan_in", "uniform"),
        fan_in_truncated_normal(scale),
    )

    def init(key, shape, dtype=jnp.float32):
        if isinstance(index, int):
            return choices[index](key, shape, dtype)
        branches = [lambda k, one=one: one(k, shape, dtype) for one in choices]
        return jax.lax.switch(index, branches, key)

    return init


def orthogonal(scale: Any) -> Callable[..., Any]:
    """Orthogonal columns (or rows, if those are fewer), times ``scale``; it may be traced.

    The kernel is viewed as the matrix [inputs, outputs] with the last axis as the outputs. It is
    the Q of a normal matrix's QR decomposition with positive diagonal of R, hence uniformly
    distributed (Mezzadri 2007, arXiv math-ph/0609050). It is made by Gram-Schmidt, done twice
    for each column to be orthogonal to rounding, because a program with several batched QR
    decompositions of LAPACK was seen to hang on a CPU with two cores (jax 0.10.2).
    """
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    def init(key, shape, dtype=jnp.float32):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        long, short = max(rows, columns), min(rows, columns)
        # One vector a row of the array, so that a step of the loop writes contiguous memory.
        normal = jax.random.normal(key, (short, long), dtype)

        def step(index, basis):
            vector = normal[index]
            for _ in range(2):
                vector = vector - (basis @ vector) @ basis
            return basis.at[index].set(vector / jnp.linalg.norm(vector))

        basis = jax.lax.fori_loop(0, short, step, jnp.zeros_like(normal))
        matrix = basis.T if rows >= columns else basis
        return scale * matrix.reshape(shape)

    return init


def truncated_normal(std: Any) -> Callable[..., Any]:
    """Normal of nominal deviation ``std``, cut at two of them and not rescaled.

    The real standard deviation is 0.88 ``std``: the default of the library that the published
    tasks were written in.
    """
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    def init(key, shape, dtype=jnp.float32):
        return std * jax.random.truncated_normal(key, -2, 2, shape, dtype)

    return init


def fan_in_truncated_normal(scale: Any = 1) -> Callable[..., Any]:
    """:func:`truncated_normal` with ``std = scale/sqrt(fan_in)``: the published default kernel."""

    def init(key, shape, dtype=None):
        fan_in = math.prod(shape[:-1])
        return truncated_normal(scale / math.sqrt(fan_in))(key, shape, dtype or "float32")

    return init


def scaled_truncated_normal(scale: Any) -> Callable[..., Any]:
    """Truncated normal whose real variance is ``scale / fan_in``; ``scale`` may be traced."""
    import jax.numpy as jnp  # here, so that sampling needs no jax

    def init(key, shape, dtype=jnp.float32):
        fan_in = math.prod(shape[:-1])
        unit = truncated_normal(1 / TRUNCATION_STD)(key, shape, dtype)
        return jnp.sqrt(jnp.asarray(scale / fan_in, dtype)) * unit

    return init
