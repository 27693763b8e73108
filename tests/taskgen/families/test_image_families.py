"""The families of the published image tasks: their contract, costs, samples and losses."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from image_variants import VARIANTS, ready, variant
from small_tasks import quick, random_batch, traced

import velodrome
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.spec import TaskSpec

pytestmark = pytest.mark.slow

NEW = ("autoencoder", "resnet", "vit", "mlp_mixer")

#: Much like the one before, or checked in tests/velodrome/test_check_family.py too.
LONG = ("resnet-v1", "resnet-v2", "mlp_mixer", "autoencoder")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in VARIANTS],
)
def test_contract(name, key, strict_dtypes):
    """What `velodrome check` asks of a task, in one compiled program."""
    spec = variant(name)
    task, batch = velodrome.build(spec), random_batch(spec, key)

    def both(key, batch):
        params, state = task.init(key)

        def loss(params):
            return task.loss(params, state, key, batch, train=True)

        (training, after), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        evaluation, kept = task.loss(params, after, key, batch, train=False)
        metrics = task.metrics(params, after, key, batch)
        return params, state, after, kept, training, evaluation, metrics, gradient

    # Two lanes of a vmap, with the batch in common; compiling is nearly all of the time.
    lanes = jax.vmap(both, in_axes=(0, None))
    found = quick(lanes)(jnp.stack([key, jax.random.fold_in(key, 1)]), batch)
    params, state, after, kept, training, evaluation, metrics, gradient = found
    shapes = jax.tree.map(lambda leaf: (leaf.shape[1:], leaf.dtype), (params, state))
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), task.shapes)
    assert jax.tree.structure(after) == jax.tree.structure(kept) == jax.tree.structure(state)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert np.isfinite(training).all() and np.isfinite(task.normalize(training)).all()
    total, count = metrics["loss"]
    np.testing.assert_allclose(total / count, evaluation, rtol=1e-5)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
    assert any(np.any(leaf[0] != leaf[1]) for leaf in jax.tree.leaves(params))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def assert_cost_is_traced(spec):
    """FLOPs of a step within 10%, parameters exactly; nothing is compiled."""
    closed, found = velodrome.cost(spec), traced(spec)
    assert closed.flops == pytest.approx(found.flops, rel=0.1), spec
    assert closed.params == found.params
    assert found.bytes / 5 < closed.bytes < 5 * found.bytes
    assert all(type(value) is int and value > 0 for value in closed.to_json().values())


@pytest.mark.parametrize("family", NEW)
def test_closed_forms_are_the_traced_program(family):
    for spec in velodrome.sample(3, seed=11, family=family):
        assert_cost_is_traced(spec)


@pytest.mark.parametrize("name", VARIANTS)
def test_closed_forms_of_variants(name):
    assert_cost_is_traced(variant(name, batch_size=32))


# A sample stands for results: these change only with the version of the family.
@pytest.mark.parametrize(
    ("family", "first"),
    [
        ("autoencoder", "d8a81cb57d5293c1"),
        ("resnet", "bb79683998163c85"),
        ("vit", "66665eccc43149b5"),
        ("mlp_mixer", "13807c3239c0eb7a"),
    ],
)
def test_samples_stay_the_same(family, first):
    specs = velodrome.sample(20, seed=0, family=family)
    assert specs[0].hash[:16] == first
    assert len({spec.hash for spec in specs}) == 20
    for spec in specs:
        assert TaskSpec.from_json(spec.to_json()) == spec


def test_sampled_fields_that_depend_on_each_other():
    resnets = [spec.config for spec in velodrome.sample(60, seed=1, family="resnet")]
    assert all(config.version == "v1" for config in resnets)
    assert max(config.blocks_3 for config in resnets) > 2
    vits = [spec.config for spec in velodrome.sample(60, seed=1, family="vit")]
    assert all(config.head_dim < (64 if config.num_heads < 4 else 32) for config in vits)
    assert any(config.head_dim >= 32 for config in vits)
    # One draw decides about both rates, and 0.7 of the tasks have them.
    assert all((c.dropout == 0) == (c.attention_dropout == 0) for c in vits)
    assert 0.5 < sum(config.dropout > 0 for config in vits) / 60 < 0.9


@pytest.mark.parametrize("name", ["resnet-v1", "vit", "mlp_mixer"])
def test_a_last_layer_of_zeros_guesses_evenly(name, key):
    task, params, state, batch = ready(variant(name), key)
    assert not np.any(params["output"]["kernel"])
    loss, _ = quick(task.loss, static_argnames="train")(params, state, key, batch, train=False)
    classes = datasets.get("photos").info.num_classes
    assert float(loss) == pytest.approx(math.log(classes), rel=1e-6)


def test_losses_of_a_network_of_zeros(key):
    """Everything is known then: outputs are 0, and sigmoid(0) is a half."""
    for name, expected in (("mlp-dropout", 1 / 10), ("autoencoder", None)):
        spec = variant(name, data="digits")
        task, params, state, batch = ready(spec, key)
        params = jax.tree.map(jnp.zeros_like, params)
        loss = float(task.loss(params, state, key, batch, train=False)[0])
        half = float(np.square(np.asarray(batch["image"]) - 0.5).mean())
        assert loss == pytest.approx(expected or half, rel=1e-5)


def test_the_logarithmic_autoencoder(key):
    """By hand: the mean over each column of pixels, its logarithm, and the mean of these."""
    spec = variant("autoencoder-log", num_layers=0, constrain_output=False)
    task = velodrome.build(spec)
    params, state = task.init(key)
    batch = random_batch(spec, key)
    image = np.asarray(batch["image"])
    x = 2 * (image - 0.5)
    output = x.reshape(8, -1) @ np.asarray(params["output"]["kernel"])
    columns = np.square(output.reshape(x.shape) - x).mean(axis=1)
    loss, _ = task.loss(params, state, key, batch, train=True)
    assert float(loss) == pytest.approx(np.log(columns + 1e-8).mean(), rel=1e-4)
    assert float(task.normalize(loss)) == pytest.approx(10 + 0.5 * float(loss), rel=1e-6)
    assert float(task.normalize(jnp.inf)) == 10.5


def test_the_bottleneck_is_in_the_middle(key):
    params, _ = velodrome.build(variant("autoencoder")).shapes
    widths = [params[f"dense_{layer}"]["kernel"].shape[1] for layer in range(3)]
    assert widths == [6, 3, 6]
