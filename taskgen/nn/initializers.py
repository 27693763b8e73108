"""Weight initialisers: those that published tasks draw from, and the fixed ones.

The last axis of a kernel is its output; the product of the others is its fan-in.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from velodrome.taskgen.functions import Scalar

# Standard deviation of a standard normal truncated to +-2.
_TRUNCATION_STD = 0.87962566103423978

XAVIER = nnx.initializers.xavier_uniform(dtype=jnp.float32)


@typing.runtime_checkable
class Initializer(Protocol):
    """What Flax calls for a kernel."""

    def __call__(
        self, key: jax.Array, shape: Sequence[int], dtype: DTypeLike = ..., /
    ) -> jax.Array: ...


def kernel_initializer(dynamic: Mapping[str, Scalar]) -> Initializer:
    """Return the initialiser that the dynamic fields ``initializer`` and ``init_scale`` choose."""
    return sampled_initializer(dynamic["initializer"], dynamic["init_scale"])


def sampled_initializer(index: Scalar, scale: Scalar) -> Initializer:
    """Return an initialiser of :data:`~velodrome.taskgen.nn.choices.INITIALIZERS`.

    A Python integer ``index`` picks one; a traced one is a switch.
    """
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


def orthogonal(scale: Scalar) -> Initializer:
    """Return orthogonal columns (or rows, if those are fewer), times ``scale``, maybe traced.

    The kernel is viewed as the matrix [inputs, outputs]. It is the Q of a normal matrix's QR
    decomposition with positive diagonal of R, hence uniformly distributed (Mezzadri 2007, arXiv
    math-ph/0609050). It is made by Gram-Schmidt, done twice for each column to be orthogonal to
    rounding, because a program with several batched QR decompositions of LAPACK was seen to hang
    on a CPU with two cores (jax 0.10.2).
    """

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


def truncated_normal(std: Scalar) -> Initializer:
    """Return a normal of nominal deviation ``std``, cut at two of them and not rescaled.

    The real standard deviation is 0.88 ``std``: the default of the library that the published
    tasks were written in.
    """

    def init(key, shape, dtype=jnp.float32):
        return std * jax.random.truncated_normal(key, -2, 2, shape, dtype)

    return init


def fan_in_truncated_normal(scale: Scalar = 1) -> Initializer:
    """:func:`truncated_normal` with ``std = scale/sqrt(fan_in)``: the published default kernel."""

    def init(key, shape, dtype=jnp.float32):
        return truncated_normal(scale / math.sqrt(math.prod(shape[:-1])))(key, shape, dtype)

    return init


def scaled_truncated_normal(scale: Scalar) -> Initializer:
    """Return a truncated normal whose real variance is ``scale / fan_in``, maybe traced."""

    def init(key, shape, dtype=jnp.float32):
        unit = truncated_normal(1 / _TRUNCATION_STD)(key, shape, dtype)
        return jnp.sqrt(jnp.asarray(scale / math.prod(shape[:-1]), dtype)) * unit

    return init
