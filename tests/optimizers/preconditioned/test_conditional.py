"""What is computed at some updates only, in lanes of lanes too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.optimizers.preconditioned.conditional import run_if
from velodrome.optimizers.preconditioned.lapack import eigh


def _turned(kept, matrix):
    return kept + eigh(matrix @ matrix.T)[0]


def _step(step, kept, matrix):
    return run_if(step % 3 == 0, _turned, kept, matrix)


def test_lanes_equal_single_runs():
    rng = np.random.default_rng(0)
    matrices = jnp.asarray(rng.normal(size=(2, 2, 3, 3)), jnp.float32)
    kept = jnp.asarray(rng.normal(size=(2, 2, 3)), jnp.float32)
    single = jax.jit(_step)
    for step in (0, 1):
        every = jax.jit(jax.vmap(jax.vmap(_step, (None, 0, 0)), (None, 0, 0)))(
            jnp.int32(step), kept, matrices
        )
        for seed in range(2):
            for point in range(2):
                one = single(jnp.int32(step), kept[seed, point], matrices[seed, point])
                np.testing.assert_allclose(every[seed, point], one, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(every, kept)


def test_where_lanes_differ_each_keeps_to_its_own():
    kept, matrices = jnp.zeros((2, 3)), jnp.stack([jnp.eye(3)] * 2)
    found = jax.vmap(_step)(jnp.array([3, 4]), kept, matrices)
    np.testing.assert_allclose(found, [[1, 1, 1], [0, 0, 0]])


def test_nothing_is_computed_in_lanes_while_it_is_not_due():
    lanes = jax.vmap(jax.vmap(_step, (None, 0, 0)), (0, 0, 0))
    arguments = jnp.zeros(2, jnp.int32), jnp.zeros((2, 2, 3)), jnp.zeros((2, 2, 3, 3))
    program = jax.make_jaxpr(lanes)(*arguments)
    assert "eigh" in _names(program.jaxpr, conditional=True)
    assert "eigh" not in _names(program.jaxpr, conditional=False)


def _names(jaxpr, *, conditional: bool) -> set[str]:
    """Return the names of the operations, with or without those inside conditions."""
    found: set[str] = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        if equation.primitive.name == "cond" and not conditional:
            continue
        for part in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                found |= _names(inner, conditional=conditional)
    return found
