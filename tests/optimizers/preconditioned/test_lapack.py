"""Decompositions in lanes: right, and never in one call of LAPACK for all of them on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.optimizers.preconditioned.lapack import divided, eigh, orthogonal

MATRICES = np.random.default_rng(0).normal(size=(2, 5, 3, 3)).astype(np.float32)
TRIANGLES = np.triu(MATRICES) + 3 * np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (lambda m: eigh(m + m.T)[0], [MATRICES], lambda m: np.linalg.eigvalsh(m + m.T)),
        (lambda m: jnp.abs(orthogonal(m)), [MATRICES], lambda m: abs(np.linalg.qr(m)[0])),
        (divided, [MATRICES, TRIANGLES], lambda m, t: m @ np.linalg.inv(t)),
    ],
)
def test_lanes_go_one_after_another(function: Callable, arguments: list, expected: Callable):
    lanes = jax.jit(jax.vmap(jax.vmap(function)))
    found = lanes(*arguments)
    for seed in range(2):
        for point in range(5):
            one = expected(*(argument[seed, point] for argument in arguments))
            np.testing.assert_allclose(found[seed, point], one, rtol=1e-3, atol=1e-5)
    text = lanes.trace(*arguments).lower(lowering_platforms=("cpu",)).as_text()
    calls = [line for line in text.splitlines() if "custom_call @lapack" in line]
    assert calls and not any("tensor<2x5x" in line or "tensor<5x" in line for line in calls)
