"""The first layer's sums by a product of arrays, against the same sums term by term."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.optimizers.velo.network import Network, rank_one_channels
from velodrome.optimizers.velo.reads import COLUMN, EVERYTHING, FLAT, ROW, Reads
from velodrome.optimizers.velo.weights.tree import WIDTH

TENSORS, REST = 2, (3, 7)


@pytest.mark.parametrize("start", [ROW, COLUMN])
@pytest.mark.parametrize("alone", [False, True])
def test_a_product_of_arrays_is_the_sum_over_channels(start: int, alone: bool):
    rng = np.random.default_rng(0)
    flat = jnp.asarray(rng.normal(size=(TENSORS, FLAT)), jnp.float32)
    averages = jnp.asarray(rng.uniform(0.1, 1.0, (3, TENSORS, *REST)), jnp.float32)
    channels = rank_one_channels(averages, (0, 1, 2), start=start)
    if alone:
        flat, channels = flat[0], {number: x[0] for number, x in channels.items()}
    network = Network(EVERYTHING, flat)
    found, expected = jax.jit(
        lambda: (network.rank_one_layer(channels, small=False), network.first_layer(channels))
    )()
    assert len(found) == WIDTH
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_network_that_lacks_a_number_is_added_up_term_by_term():
    lacking = ROW * WIDTH + 1
    reads = Reads(network=tuple(at for at in range(FLAT) if at != lacking))
    channels = rank_one_channels(jnp.ones((3, TENSORS, *REST)), (0, 1, 2), start=ROW)
    flat = jnp.ones((TENSORS, FLAT - 1)).at[:, reads.columns[lacking + WIDTH]].set(3.0)
    # Averages of one: each of the six channels is one, but for an epsilon.
    sums = jax.jit(lambda: Network(reads, flat).rank_one_layer(channels, small=False))()
    assert [float(x[0, 0, 0]) for x in sums if x is not None] == pytest.approx([6, 7, 6, 6])
