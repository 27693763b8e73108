from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from velodrome.foundation.errors import StoreError
from velodrome.suites.planning import batching
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.running.run import run
from velodrome.suites.running.store_setup import open_store
from velodrome.suites.training import checkpoint
from velodrome.suites.training.environment import device_description, versions
from velodrome.suites.training.shard import ShardRunner, Stopped


def tree():
    return {
        "float": jnp.linspace(0, 1, 7).at[3].set(jnp.nan),
        "half": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
        "count": jnp.int32(5),
        "flag": jnp.array([True, False]),
        "key": jax.random.key(3, impl="threefry2x32"),
        "empty": jnp.zeros((0, 3)),
    }


def bits(leaf) -> bytes:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


def test_round_trip_is_bitwise(tmp_path):
    columns = {"lane": np.arange(3, dtype=np.int32)}
    checkpoint.save(tmp_path / "c.npz", {"a": [1]}, columns, tree())
    assert checkpoint.load_meta(tmp_path / "c.npz") == {"a": [1]}
    arrays, restored = checkpoint.load(tmp_path / "c.npz", tree())
    np.testing.assert_array_equal(arrays["lane"], columns["lane"])
    for before, after in zip(jax.tree.leaves(tree()), jax.tree.leaves(restored), strict=True):
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert bits(after) == bits(before)


def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path):
    path = tmp_path / "c.npz"
    assert checkpoint.load_meta(path) is None
    checkpoint.save(path, {}, {}, tree())
    whole = path.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2], b"\x80\x04}." + whole):
        path.write_bytes(damaged)
        meta = checkpoint.load_meta(path)
        assert meta in (None, {})


def test_another_tree_is_refused(tmp_path):
    checkpoint.save(tmp_path / "c.npz", {}, {}, {"x": jnp.zeros(3)})
    with pytest.raises(StoreError, match="holds another state: it differs in leaf.1"):
        checkpoint.load(tmp_path / "c.npz", {"x": jnp.zeros(3), "y": jnp.zeros(3)})
    with pytest.raises(StoreError, match=r"leaf.0 is float32\[3\], not float32\[4\]"):
        checkpoint.load(tmp_path / "c.npz", {"x": jnp.zeros(4)})


class StopAfter:
    """Asks to stop at the mark with that number."""

    def __init__(self, marks: int):
        self.left = marks

    def report(self, **said) -> None:
        del said

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize(
    ("optimizer", "block"),
    [
        ("exploding", 0),
        # Each start compiles Adam again.
        pytest.param("adam", 0, marks=pytest.mark.long),
        pytest.param("adam", 1, marks=pytest.mark.long),
    ],
)
def test_a_shard_stopped_at_every_mark_gives_the_same_bits(tmp_path, monkeypatch, optimizer, block):
    if block:  # one step in a call, so that most stops are between two evaluations
        monkeypatch.setattr(batching, "CPU_BLOCK_FLOPS", 0)
    with toys.registered(exploding=toys.exploding()):
        # Two rates of Adam; `exploding` keeps its grid, whose lanes end at different steps.
        suite = toys.bowl_suite(
            optimizer, steps=30, baseline="sgd", seeds=1, learning_rates=(1e-3, 1e-1)
        )
        run(suite, tmp_path / "whole", workers=0, timing=False, progress="silent")
        store, _ = open_store(LoadedSuite.of(suite), tmp_path / "pieces", make_plan(suite))
        plan = store.plan
        for shard in plan.shards:
            stops = 0
            while not store.has_shard(shard.id):
                try:  # a new runner each time, as in a new process
                    ShardRunner(store, checkpoint_seconds=0.0).run_shard(shard.id, StopAfter(1))
                except Stopped:
                    stops += 1
                    assert (tmp_path / "pieces" / "checkpoints" / f"{shard.id}.npz").exists()
            assert shard.block == block
            assert stops >= (20 if block else 3)
    assert toys.contents(tmp_path / "pieces") == toys.contents(tmp_path / "whole")
    assert not list((tmp_path / "pieces" / "checkpoints").glob("*.npz"))


def test_a_foreign_checkpoint_is_not_taken_up(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=1)
        run(suite, tmp_path / "a", workers=0, timing=False, progress="silent")
        expected = toys.contents(tmp_path / "a")
        (name,) = expected
        (tmp_path / "a" / "shards" / f"{name}.parquet").unlink()
        path = tmp_path / "a" / "checkpoints" / f"{name}.npz"
        checkpoint.save(path, {"shard": name, "versions": {}}, {}, {})
        run(suite, tmp_path / "a", workers=0, timing=False, progress="silent")
    assert toys.contents(tmp_path / "a") == expected


def test_a_checkpoint_that_is_no_use_is_not_taken_up(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=1)
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
        expected = toys.contents(tmp_path)
        (name,) = expected
        (tmp_path / "shards" / f"{name}.parquet").unlink()
        position = {"step": 5, "finished": False, "metrics": [], "alive": [True], "diverged": []}
        device = {k: v for k, v in device_description().items() if k != "threads"}
        meta = {"shard": name, "versions": versions(), "device": device}
        meta.update(position=position, started="2020", seconds=1.0)
        path = tmp_path / "checkpoints" / f"{name}.npz"
        checkpoint.save(path, meta, {}, {"of": jnp.zeros(2), "another": jnp.zeros(2)})
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
    assert toys.contents(tmp_path) == expected
