"""The rule: an update's temporary memory is under twice the parameters, above its state.

Models of up to 2 million parameters, whose memory is nothing, may take four times, for speed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from velodrome.optimizers.velo.grouping import MAX_STACKED, make_groups
from velodrome.optimizers.velo.optimizer import velo
from velodrome.optimizers.velo.weights.tree import init_weights


def transformer(width: int, layers: int, vocabulary: int) -> dict:
    layer = {
        **{name: (width, width) for name in "qkvo"},
        **{"up": (width, 4 * width), "up_b": (4 * width,), "down": (4 * width, width)},
        **{name: (width,) for name in ("down_b", "norm1", "norm1_b", "norm2", "norm2_b")},
    }
    return {"embed": (vocabulary, width), **{str(i): layer for i in range(layers)}}


def temporary_bytes(shapes: dict) -> tuple[int, int]:
    """Return temporary and parameter bytes of an update, compiled without making an array."""
    params = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    tx = velo(100, weights=init_weights(jax.random.key(0), 8, 4))

    def step(params, state, grads, loss):
        updates, state = tx.update(grads, state, params, value=loss)
        return jax.tree.map(jnp.add, params, updates), state

    state = jax.eval_shape(tx.init, params)
    loss = jax.ShapeDtypeStruct((), jnp.float32)
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params, loss).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return analysis.temp_size_in_bytes, 4 * size


@pytest.mark.parametrize(
    ("shapes", "millions", "most"),
    [
        (transformer(128, 6, 1000), 1.3, 4),
        ({str(i): (400, 400) for i in range(6)}, 0.96, 4),
        (transformer(256, 3, 1000), 2.6, 2),
        ({"up": (5000, 10_000), "down": (10_000, 5000)}, 100, 2),
    ],
)
def test_temporary_memory(shapes, millions, most):
    temporary, parameters = temporary_bytes(shapes)
    assert parameters == pytest.approx(4e6 * millions, rel=0.03)
    assert temporary < most * parameters


def test_large_tensors_are_not_stacked():
    side = int(MAX_STACKED**0.5)
    groups = make_groups([(side, side + 1)] * 3 + [(MAX_STACKED + 1,)] * 2 + [(4, 4)] * 3)
    assert sorted(len(group.members) for group in groups) == [1, 1, 1, 1, 1, 3]


def test_a_stack_is_a_part_of_the_parameters():
    groups = make_groups([(64, 64)] * 10)
    assert [len(group.members) for group in groups] == [4, 4, 2]
