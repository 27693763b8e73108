"""The DLRM of MLCommons: arrays, initial values, products of pairs, costs, training; its data."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import quick, traced

import velodrome
from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.published.facts import CRITEO_VOCABULARIES
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.families.dlrm import DLRMConfig, cost
from velodrome.taskgen.network import task_functions
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import HashedTableView

GOLDEN = Path(__file__).parents[1] / "golden/mlcommons_arrays.json"
ARRAYS = json.loads(GOLDEN.read_text())["dlrm"]
FAMILY = velodrome.families.get("dlrm")
CRITEO = HashedTableView(13, 26, 4_194_304)

#: The size for tests that the facts suggest.
SHRUNK = {
    "vocab_size": 1024, "embed_size": 8, "bottom_1": 16, "bottom_2": 0, "top_1": 32, "top_2": 16,
    "top_3": 0, "top_4": 0,
}  # fmt: skip


def functions(config: DLRMConfig, view: HashedTableView):
    return task_functions(FAMILY, config, view, "highest")


def test_arrays_are_those_of_the_workload():
    """More than half a billion numbers, none of which is computed."""
    params, state = functions(DLRMConfig(), CRITEO).shapes
    found = Counter("x".join(map(str, leaf.shape)) for leaf in jax.tree.leaves(params))
    assert found == ARRAYS["shapes"] and not jax.tree.leaves(state)
    full = cost(DLRMConfig(), CRITEO, 262_144)
    assert full.params == ARRAYS["total"] == 539_267_457
    assert full.flops / 262_144 / 1e9 == pytest.approx(0.01495, rel=0.01)  # of the facts
    view = HashedTableView(13, 26, 1024)
    assert cost(DLRMConfig(**SHRUNK), view, 32).params == 21_481


def test_initial_values_are_those_of_the_workload(key):
    view = HashedTableView(13, 26, 4096)
    config = DLRMConfig(vocab_size=4096, embed_size=16, bottom_1=256, top_1=256, top_2=0, top_3=0)
    made = functions(config, view)
    params, _ = quick(made.init)(key)
    table = np.asarray(params["table"])
    assert table.min() >= 0 and table.max() < 1 / 64
    assert table.mean() * 64 == pytest.approx(0.5, rel=0.01)
    first, top = params["bottom_0"], params["top_0"]
    assert np.abs(first["kernel"]).max() <= math.sqrt(6 / (13 + 256))  # uniform
    assert first["kernel"].std() == pytest.approx(math.sqrt(2 / (13 + 256)), rel=0.05)
    assert first["bias"].std() == pytest.approx(1 / 16, rel=0.2)
    assert top["kernel"].shape == (16 + 378, 256)
    assert top["kernel"].std() == pytest.approx(math.sqrt(2 / (394 + 256)), rel=0.05)
    assert params["top_1"]["bias"].std() == pytest.approx(1 / 16, rel=0.2)


def test_pairs_of_vectors_are_multiplied(key):
    """A network whose only layer reads the products, by hand; its loss is the logit."""
    view = HashedTableView(2, 2, 3)
    names = ("bottom_1", "bottom_2", "top_1", "top_2", "top_3", "top_4")
    made = functions(DLRMConfig(vocab_size=3, embed_size=2, **dict.fromkeys(names, 0)), view)
    params, state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), made.shapes)
    params["bottom_0"] = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    params["table"] = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    # The vector itself, then products 00 01 02 11 12 22.
    weights = [0, 0, 1, 10, 100, 1000, 10_000, 100_000]
    params["top_0"] = {"kernel": jnp.array(weights, jnp.float32)[:, None], "bias": jnp.zeros(1)}
    batch = {
        "row": jnp.array([[1.0, 2.0]]),
        "category": jnp.array([[1, 2]], jnp.int32),
        "label": jnp.array([0], jnp.int32),
    }
    loss, _ = quick(partial(made.loss, train=False))(params, state, key, batch)
    # x = (1, 2), a = (0, 2), b = (3, 3): xx 5, xa 4, xb 9, aa 4, ab 6, bb 18.
    assert float(loss) == 5 + 40 + 900 + 4000 + 60_000 + 1_800_000


@pytest.mark.parametrize(
    "config", [{**SHRUNK, "dropout": 0.1}, pytest.param(None, marks=pytest.mark.long)]
)
def test_the_closed_form_is_the_traced_program(config):
    """FLOPs within 5%, parameters exactly; without a config, sampled tasks."""
    data = "stand-in:criteo1tb"
    some = [TaskSpec("dlrm", config, DataSpec(data), 8)] if config else None
    for spec in some or velodrome.sample(4, seed=11, family="dlrm", data=data):
        closed, found = velodrome.cost(spec), traced(spec)
        assert closed.flops == pytest.approx(found.flops, rel=0.05), spec
        assert closed.params == found.params
        assert closed.eval_flops_per_example == pytest.approx(found.eval_flops_per_example, rel=0.1)
        assert found.bytes / 3 < closed.bytes < 3 * found.bytes


def test_without_hidden_layers_nothing_is_dropped():
    none = dict.fromkeys(("top_1", "top_2", "top_3", "top_4"), 0)
    one, other = (cost(DLRMConfig(**none, dropout=rate), CRITEO, 4) for rate in (0.0, 0.1))
    assert one == other


def test_three_steps_at_the_shrunk_size(key, strict_dtypes):
    """On rows of the stand-in, whose hashes wrap into the table."""
    spec = TaskSpec("dlrm", SHRUNK, DataSpec("stand-in:criteo1tb"), 32)
    source = velodrome.open_source(spec, "heldout")
    batch = source.batch(seed=0, step=0, batch_size=32)
    raw = velodrome.datasets.get("stand-in:criteo1tb").load("heldout")
    rows = source.indices(0, 0, 1, 32)[0]
    np.testing.assert_array_equal(batch["category"], raw["category"][rows] % 1024)
    task, adam = velodrome.build(spec), optax.adam(1e-2)

    @quick
    def train(key, batch):
        params, state = task.init(key)

        def step(carry, _):
            params, momenta = carry
            (value, _), gradient = jax.value_and_grad(task.loss, has_aux=True)(
                params, state, key, batch, train=True
            )
            with jax.numpy_dtype_promotion("standard"):
                updates, momenta = adam.update(gradient, momenta)
            return (optax.apply_updates(params, updates), momenta), value

        return jax.lax.scan(step, (params, adam.init(params)), None, length=3)

    (after, _), losses = train(key, batch)
    assert sum(leaf.size for leaf in jax.tree.leaves(after)) == 21_481
    assert losses[2] < losses[0]


def test_the_stand_in_has_the_form_of_criteo():
    dataset = velodrome.datasets.get("stand-in:criteo1tb")
    assert dataset.info.provenance == "stand-in"
    for split in ("train", "heldout"):
        arrays = dataset.load(split)
        assert hash_arrays(arrays) == dataset.info.split_hashes[split]
        assert np.all(arrays["category"].max(axis=0) < CRITEO_VOCABULARIES)
        assert 0.03 < arrays["label"].mean() < 0.04
        # A category says something about clicks, as one of a few does here.
        rates = [arrays["label"][arrays["category"][:, 5] == code].mean() for code in range(3)]
        assert max(rates) > 1.1 * min(rates)
