"""What runs of the original do not show: tensors of one shape, and which tensors go to Adam."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from celo_golden_files import weights_of

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.learned.adafac_mlp import adafac_mlp
from velodrome.optimizers.learned.celo2 import ADAM_RATE, celo2, celo2_base
from velodrome.optimizers.learned.rnn_mlp import rnn_mlp


def updates_of(tx: optax.GradientTransformationExtraArgs, params: Any, gradients: Any) -> Any:
    """Return the second of two updates with one gradient."""

    @jax.jit
    def run(params: Any) -> Any:
        _, state = tx.update(gradients, tx.init(params), params, value=1.0)
        return tx.update(gradients, state, params, value=0.5)[0]

    return run(params)


def drawn(seed: int, **shapes: tuple[int, ...]) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}


@pytest.mark.parametrize(
    "make",
    [
        partial(adafac_mlp, weights=weights_of("adafac-mlp")),
        partial(celo2_base, 0.1, weights=weights_of("celo2")),
    ],
    ids=["adafac-mlp", "celo2-base"],
)
def test_tensors_of_one_shape_move_as_each_one_alone(make: Any):
    shapes = {"a": (3, 4), "b": (4,), "c": (3, 4), "d": (4,)}
    params, gradients = drawn(0, **shapes), drawn(1, **shapes)
    together = updates_of(make(), params, gradients)
    for name in ("c", "d"):
        alone = updates_of(make(), {name: params[name]}, {name: gradients[name]})
        np.testing.assert_allclose(together[name], alone[name], rtol=1e-5, atol=1e-8)


def test_the_order_of_tensors_is_free_in_rnn_mlp():
    """Its LSTM has a row for each tensor: rows and tensors must not be mixed up."""
    tx = rnn_mlp(weights=weights_of("rnn-mlp"))
    params, gradients = (drawn(i, a=(3, 4), b=(5,), c=(3, 4)) for i in (0, 1))

    def swapped(tree: dict[str, Any]) -> dict[str, Any]:
        return {"a": tree["c"], "b": tree["b"], "c": tree["a"]}

    one = updates_of(tx, params, gradients)
    other = updates_of(tx, swapped(params), swapped(gradients))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-9), swapped(one), other)
    assert not np.allclose(one["a"], one["c"])


def test_celo2_sends_vectors_and_embeddings_to_adam():
    """The first step of Adam without bias correction, from equal gradients, is known."""
    params = drawn(0, Embed_0=(3, 4), w=(3, 4), b=(4,), s=())
    gradients = jax.tree.map(jnp.ones_like, params)
    tx = celo2(0.01, weights=weights_of("celo2"))
    updates, _ = jax.jit(tx.update)(gradients, tx.init(params), params)
    for name in ("Embed_0", "b", "s"):
        step = 0.01 * ADAM_RATE * 0.1 / np.sqrt(0.05 + 1e-8)
        np.testing.assert_allclose(updates[name], np.full(np.shape(params[name]), -step), rtol=1e-5)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(updates["w"] ** 2)), 0.01, rtol=1e-5)


def test_a_state_of_other_parameters_is_refused():
    tx = adafac_mlp(weights=weights_of("adafac-mlp"))
    state = tx.init(drawn(0, a=(3, 4)))
    params = drawn(0, a=(3, 5))
    with pytest.raises(SpecError, match="state.*what `init` of this optimizer returned"):
        tx.update(params, state, params)
