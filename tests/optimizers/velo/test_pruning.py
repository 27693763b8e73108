"""Only what the weights read is computed and kept; the steps are those of the whole network."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.optimizers.velo.controller import Controller, fold
from velodrome.optimizers.velo.optimizer import velo
from velodrome.optimizers.velo.pruning import prune, prune_alike
from velodrome.optimizers.velo.reads import EVERYTHING
from velodrome.optimizers.velo.transform import scale_by_pruned, scale_by_velo
from velodrome.optimizers.velo.weights.store import load_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights, weight_shapes

# Both orders of the factored dimensions, stacked and single tensors, padded vectors, a scalar.
SHAPES = {"a": (6, 9), "b": (9,), "c": (2, 3, 4, 8), "d": (7,), "e": (), "f": (6, 9), "g": (9, 4)}
STEPS = 6


def sparse_weights(seed: int, density: float) -> VeLOWeights:
    """Return random weights of which about this part is not zero."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # Every layer of the bank shares one pattern, or the mixture would have no zeros left.
        pattern = rng.random(shape[1:] if name.startswith("bank") else shape) < density
        return (0.5 * rng.normal(size=shape) * pattern).astype(np.float32)

    return VeLOWeights.of({name: draw(name, s) for name, s in weight_shapes(12, 4).items()})


@jax.jit
def whole_network(controller: Controller, *run: Any) -> tuple[Any, Any]:
    """Return all updates by weights that are traced, so that nothing is known of them."""
    return updates_of(scale_by_velo(controller, 20), *run)


def pruned_network(weights: VeLOWeights, *run: Any) -> tuple[Any, Any]:
    return jax.jit(partial(updates_of, velo(20, weights=weights)))(*run)


def updates_of(tx: Any, params: Any, gradients: Any, losses: Any) -> tuple[Any, Any]:
    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        params, state = carry
        gradient, loss = inputs
        updates, state = tx.update(gradient, state, params, value=loss)
        return (jax.tree.map(jnp.add, params, updates), state), updates

    (_, state), updates = jax.lax.scan(step, (params, tx.init(params)), (gradients, losses))
    return updates, state


@pytest.fixture(scope="module")
def run() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)

    def normal(*lead: int) -> Any:
        draw = {name: 0.1 * rng.normal(size=(*lead, *shape)) for name, shape in SHAPES.items()}
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), draw)

    return normal(), normal(STEPS), jnp.linspace(2.0, 1.0, STEPS)


@pytest.mark.parametrize(
    ("seed", "density"),
    [*(pytest.param(*other, marks=pytest.mark.long) for other in ((0, 0.7), (1, 0.4))), (2, 0.2)],
)
def test_sparse_weights_make_the_steps_of_the_whole_network(seed, density, run):
    weights = sparse_weights(seed, density)
    pruned, reads = prune(fold(weights))
    assert reads != EVERYTHING and len(reads.network) < len(EVERYTHING.network)
    expected, whole = whole_network(fold(weights), *run)
    found, state = pruned_network(weights, *run)
    for name, steps in expected.items():
        scale = float(jnp.sqrt(jnp.mean(steps**2))) + 1e-12
        np.testing.assert_allclose(
            found[name] / scale, steps / scale, rtol=2e-5, atol=2e-5, err_msg=name
        )
    assert floats(state) <= floats(whole)
    assert pruned.head_w.shape[1] == len(reads.network)


def test_candidates_with_common_zeros_are_pruned_alike(run):
    first = sparse_weights(2, 0.2)
    fewer = np.where(np.arange(first.bank_w0.shape[1])[:, None] % 2, 1.5 * first.bank_w0, 0.0)
    pair = [fold(first), fold(first._replace(bank_w0=fewer.astype(np.float32)))]
    stacked, reads = prune_alike(pair)
    assert len(prune(pair[1])[1].network) < len(reads.network) < len(EVERYTHING.network)

    @jax.jit
    @jax.vmap
    def side_by_side(controller: Controller) -> Any:
        return updates_of(scale_by_pruned(controller, reads, 20), *run)[0]

    both = side_by_side(stacked)
    for copy, controller in enumerate(pair):
        expected, _ = whole_network(controller, *run)
        for name, steps in expected.items():
            scale = float(jnp.sqrt(jnp.mean(steps**2))) + 1e-12
            np.testing.assert_allclose(
                both[name][copy] / scale, steps / scale, rtol=2e-5, atol=2e-5, err_msg=name
            )


def test_the_built_in_weights_make_the_steps_of_the_whole_network(run):
    weights = load_weights("velo-tiny")
    _, reads = prune(fold(weights))
    # One unit is the other's negative, and what is between layers is written by no state.
    assert reads.mirrored == ((1, 0),) and {number for _, number in reads.fixed} == {1.0, -1.0}
    assert len(reads.network) == 12
    expected, _ = whole_network(fold(weights), *run)
    found, state = pruned_network(weights, *run)
    assert state.lstm.hidden is None  # no gate reads it
    for name, steps in expected.items():
        scale = float(jnp.sqrt(jnp.mean(steps**2)))
        np.testing.assert_allclose(found[name] / scale, steps / scale, rtol=1e-5, atol=1e-5)


def test_dense_weights_lose_nothing():
    weights = sparse_weights(0, density=1.0)
    controller = fold(weights)
    pruned, reads = prune(controller)
    assert reads == EVERYTHING
    for kept, before in zip(pruned, controller, strict=True):
        np.testing.assert_array_equal(kept, before)


def test_weights_without_a_direction_never_step(run):
    weights = sparse_weights(1, density=1.0)._replace(
        bank_w2=np.zeros((4, 4, 3), np.float32), bank_b2=np.zeros((4, 3), np.float32)
    )
    updates, state = pruned_network(weights, *run)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(updates))
    assert prune(fold(weights))[1].channels == frozenset()
    assert state.lstm.hidden.size > 0  # the step size is the LSTM's still


def test_what_velo_tiny_reads():
    _, reads = prune(fold(load_weights("velo-tiny")))
    assert len(reads.channels) == 10
    assert (reads.momenta, reads.second, reads.factored) == ((0, 1, 2), True, (0,))
    params = {"w": jnp.zeros((256, 128)), "b": jnp.zeros(128)}
    assert floats(velo(20).init(params)) < 4.1 * floats(params)


def floats(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
