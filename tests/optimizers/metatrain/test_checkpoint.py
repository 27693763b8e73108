"""Checkpoints come back as they were, and what is not one is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.metatrain.checkpoint import load_checkpoint, read_record, save_checkpoint


@pytest.fixture
def state():
    params = {"w": jnp.arange(6, dtype=jnp.float32).reshape(2, 3), "b": jnp.float32(0.1)}
    return params, optax.adam(1e-3).init(params)


def test_round_trip_is_bitwise(tmp_path, state):
    path = tmp_path / "c.npz"
    save_checkpoint(path, state, {"step": 3})
    found = load_checkpoint(path, jax.tree.map(jnp.zeros_like, state))
    assert read_record(path) == {"step": 3}
    assert jax.tree.structure(found) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, found, state)


def test_another_state_is_refused(tmp_path, state):
    path = tmp_path / "c.npz"
    save_checkpoint(path, state, {})
    with pytest.raises(StoreError, match="holds another state.*--restart"):
        load_checkpoint(path, state[0])
    wider = {**state[0], "w": jnp.zeros((2, 4), jnp.float32)}
    with pytest.raises(StoreError, match=r"float32\[2, 3\], not float32\[2, 4\].*--restart"):
        load_checkpoint(path, (wider, state[1]))


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_file_is_refused(tmp_path, state, keep):
    path = tmp_path / "c.npz"
    save_checkpoint(path, state, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match="damaged"):
        load_checkpoint(path, state)
