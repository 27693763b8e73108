"""Decompositions of matrices, one after another on a CPU.

Under ``vmap``, jax 0.10 hands a batch of matrices to LAPACK in tasks for the threads of XLA, and
waits for them in one of these threads. Two such calls at once on a machine of two cores wait for
each other for ever, which was seen. A loop over the batch waits for nobody. GPUs get the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float


def eigh(matrix: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return the eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns."""
    return _per_platform(_eigh, matrix)


def orthogonal(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return Q of the QR decomposition."""
    return _per_platform(_orthogonal, matrix)


def divided(rows: Float[Array, "rows n"], triangle: Float[Array, "n n"]) -> Float[Array, "rows n"]:
    """Return rows times the inverse of an upper triangular matrix."""
    return _per_platform(_divided, rows, triangle)


def _per_platform(function: Callable[..., Any], *arguments: Array) -> Any:
    return jax.lax.platform_dependent(*arguments, cpu=sequential_vmap(function), default=function)


def _eigh(matrix: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


def _orthogonal(matrix: Array) -> Array:
    return jnp.linalg.qr(matrix)[0]


def _divided(rows: Array, triangle: Array) -> Array:
    return jax.lax.linalg.triangular_solve(triangle, rows, left_side=False, lower=False)
