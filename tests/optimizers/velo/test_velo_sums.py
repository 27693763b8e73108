"""Sums in short steps are sums, and are made in short steps."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from velodrome.optimizers.velo.sums import axis_sums, sums_by_tensor


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("shape", [(2, 1, 57, 61), (1, 3, 784, 8), (1, 1, 16, 128), (3, 1, 5, 7)])
@pytest.mark.parametrize("terms", [2, 11])
def test_sums_in_short_steps_are_sums(shape, axis, terms):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for _ in range(terms)]
    found = jax.jit(partial(axis_sums, axis=axis))(arrays)
    expected = [array.sum(axis, dtype=np.float64) for array in arrays]
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=2e-5)
    by_tensor = jax.jit(sums_by_tensor)(arrays)
    expected = [array.sum((1, 2, 3), dtype=np.float64) for array in arrays]
    np.testing.assert_allclose(by_tensor, np.array(expected), atol=2e-4)


@pytest.mark.parametrize("shape", [(2, 1, 96, 128), (2, 1, 50, 61), (3, 1, 256)])
def test_sums_of_many_terms_in_parts_are_the_same_sums(shape):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for _ in range(17)]
    found = jax.jit(partial(sums_by_tensor, in_parts=True))(arrays)
    expected = [array.sum(tuple(range(1, len(shape))), dtype=np.float64) for array in arrays]
    np.testing.assert_allclose(found, np.array(expected), atol=2e-4)


@pytest.mark.parametrize("in_parts", [True, False])
def test_many_terms_are_summed_six_at_a_time_where_they_may(in_parts):
    arrays = [jax.ShapeDtypeStruct((6, 1, 128, 512), np.float32)] * 17
    program = jax.make_jaxpr(partial(sums_by_tensor, in_parts=in_parts))(arrays)
    results = [len(e.outvars) for e in program.jaxpr.eqns if "custom_jvp" in e.primitive.name]
    assert max(results) == (6 if in_parts else 17)


@pytest.mark.parametrize(("terms", "reductions"), [(2, 3), (11, 1)])
def test_long_sums_of_few_terms_are_made_in_short_steps(terms, reductions):
    """Sums of many terms that leave the cache are not: their first sums would be more numbers."""
    arrays = [jax.ShapeDtypeStruct((1, 1, 1024, 256), np.float32)] * terms
    program = jax.make_jaxpr(partial(axis_sums, axis=-1))(arrays)
    made = [e.primitive.name for e in program.jaxpr.eqns]
    assert sum(name.startswith("custom_jvp") for name in made) == reductions
