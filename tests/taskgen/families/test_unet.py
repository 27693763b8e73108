"""The workload fastmri of MLCommons: arrays, layers, loss and metric, costs, training, the data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from skimage.metrics import structural_similarity
from small_tasks import quick, traced

import velodrome
from velodrome.foundation.errors import DataError, SpecError
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.data.kspace import measured_columns, seen, to_kspace
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.standin import scans
from velodrome.taskgen.data.verify import verify_facts
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.families.networks.unet import ConvBlock, UNet, UpBlock, instance_norm
from velodrome.taskgen.families.unet import UNetConfig
from velodrome.taskgen.network import task_functions
from velodrome.taskgen.nn.reconstruction import reconstruction, ssim
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import ReconstructionView

ARRAYS = json.loads(Path(__file__).parents[1].joinpath("golden/mlcommons_arrays.json").read_text())
STAND_IN = "stand-in:fastmri"

#: Of the size that the workload's facts suggest for tests.
SHRUNK = {"base_channels": 4, "num_pools": 2, "image_size": 16}


def spec_of(**changes) -> TaskSpec:
    return TaskSpec("unet", {**SHRUNK, **changes}, DataSpec(STAND_IN), 2)


def test_arrays_are_those_of_the_workload():
    family, config, view = velodrome.families.get("unet"), UNetConfig(), ReconstructionView(320)
    params, state = task_functions(family, config, view, "highest").shapes
    found = Counter("x".join(map(str, leaf.shape)) for leaf in jax.tree.leaves(params))
    assert found == ARRAYS["unet"]["shapes"]
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert total == ARRAYS["unet"]["total"] and not jax.tree.leaves(state)
    assert family.cost
    cost = family.cost(config, view, 32)
    assert cost.params == total
    assert cost.flops / 32 / 1e9 == pytest.approx(111.4, rel=0.03)  # of the facts


@pytest.mark.parametrize(
    "changes",
    [{}, {"image_size": 21, "dropout": 0.1, "activation": "tanh", "num_pools": 3}],
    ids=["shrunk", "odd"],
)
def test_closed_forms_are_the_traced_program(changes):
    spec = spec_of(**changes)
    closed, found = velodrome.cost(spec), traced(spec)
    assert closed.flops == pytest.approx(found.flops, rel=0.03)
    assert closed.eval_flops_per_example == pytest.approx(found.eval_flops_per_example, rel=0.05)
    assert closed.params == found.params
    assert found.bytes / 2 < closed.bytes < 2 * found.bytes


@pytest.mark.long
def test_closed_forms_of_sampled_tasks():
    for spec in velodrome.sample(6, seed=5, family="unet", data=STAND_IN):
        closed, found = velodrome.cost(spec), traced(spec)
        assert closed.flops == pytest.approx(found.flops, rel=0.03), spec
        assert closed.params == found.params


def test_three_steps_at_the_shrunk_size(key, strict_dtypes):
    spec = spec_of()
    task, source = velodrome.build(spec), velodrome.open_source(spec, "train")
    batch = source.batch(0, 0, 2)

    @quick
    def train(key, batch):
        params, state = task.init(key)

        def step(params, _):
            def loss(params):
                return task.loss(params, state, key, batch, train=True)[0]

            value, gradient = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient), value

        after, losses = jax.lax.scan(step, params, None, length=3)
        return params, losses, task.metrics(after, state, key, batch)

    params, losses, metrics = train(key, batch)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 7_305
    assert losses[2] < losses[0]
    assert metrics["ssim"][1] == metrics["loss"][1] == 2 and abs(metrics["ssim"][0]) < 2


def test_layers_by_hand(key):
    x = jax.random.normal(key, (2, 3, 4, 5)) * 3 + 1
    normed = np.asarray(instance_norm(x))
    np.testing.assert_allclose(normed.mean((1, 2)), np.zeros((2, 5)), atol=1e-5)
    np.testing.assert_allclose(normed.var((1, 2)), np.ones((2, 5)), rtol=1e-3)

    up = UpBlock(5, 2, nnx.Rngs(0))
    # Pixel (2 i + a, 2 j + b) is pixel (i, j) through the kernel's place (a, b).
    expected = np.einsum("bhwc,klco->bhkwlo", x, up.kernel[...]).reshape(2, 6, 8, 2)
    np.testing.assert_allclose(
        up(x, lambda x: x), instance_norm(jnp.asarray(expected)), rtol=1e-3, atol=1e-4
    )
    kernel = np.asarray(ConvBlock(32, 64, nnx.Rngs(0)).conv_0[...])
    assert kernel.std() * np.sqrt(9 * 32) == pytest.approx(1, rel=0.02)


def test_sizes_that_are_odd_come_back(key):
    """Levels of 5 and 2 pixels; whole channels are dropped, in training only."""
    config = UNetConfig(base_channels=2, num_pools=1, image_size=8, dropout=0.5)
    network = UNet(config, ReconstructionView(5), rngs=nnx.Rngs(0), dynamic={})
    image = jax.random.normal(key, (1, 5, 5))
    run = nnx.jit(lambda network, train: network(image, train=train, key=key), static_argnums=1)
    kept, dropped = run(network, False), run(network, True)
    assert kept.shape == (1, 5, 5) and np.any(kept != dropped)
    with pytest.raises(SpecError, match=r"at least 2 \*\* config\.num_pools, which is 16"):
        spec_of(num_pools=4, image_size=15)


def test_similarity_is_that_of_scikit_image(key):
    one, noise = np.asarray(jax.random.uniform(key, (2, 2, 20, 24)))
    one, other = 100 * one + 1000, 100 * one + 1000 + 30 * noise
    largest = jnp.array([1100.0, 90.0])
    expected = [
        structural_similarity(a, b, data_range=top, win_size=7)
        for a, b, top in zip(one, other, largest, strict=True)
    ]
    one, other = jnp.asarray(one), jnp.asarray(other)
    np.testing.assert_allclose(ssim(one, other, largest), expected, rtol=1e-3)
    np.testing.assert_allclose(ssim(one, one, largest), [1, 1], rtol=1e-5)
    assert ssim(one[:, :6], other[:, :6], largest).tolist() == [0, 0]


def test_loss_and_metric_by_hand(key):
    output, target = jax.random.normal(key, (2, 3, 8, 8))
    mean, std = jnp.array([5.0, 6.0, 7.0]), jnp.array([2.0, 1.0, 0.5])
    batch = {"target": target, "mean": mean, "std": std, "volume_max": jnp.array([9.0, 0.0, 3.0])}
    found = reconstruction(output, batch, ReconstructionView(8))
    assert float(found["loss"][0]) == pytest.approx(3 * float(jnp.abs(output - target).mean()))
    pixels = [std[:, None, None] * x + mean[:, None, None] for x in (output, target)]
    expected = ssim(pixels[0], pixels[1], jnp.array([9.0, 1.0, 3.0]))  # 0 counts as 1
    assert float(found["ssim"][0]) == pytest.approx(float(expected.sum()), rel=1e-5)


def test_the_stand_in_is_made_as_stated():
    dataset = datasets.get(STAND_IN)
    assert dataset.info.provenance == "stand-in"
    arrays = dataset.load("heldout")
    target = np.asarray(arrays["target"][100:101], np.float64)
    kept = measured_columns(1, scans.SIZE, STAND_IN, "heldout")
    # The transforms as products with matrices.
    frequency = (np.arange(64) - 32)[:, None] * (np.arange(64) - 32)
    forward = np.exp(-2j * np.pi * frequency / 64) / 8
    measured = np.where(kept[0], forward @ target[0] @ forward.T, 0)
    magnitude = np.abs(forward.conj().T @ measured @ forward.conj())
    assert np.abs(arrays["image"][100] - magnitude).max() <= 0.5 + 1e-6
    assert np.all(arrays["target"][:30].max((1, 2)) <= arrays["volume_max"][:30])

    kept = measured_columns(500, 64, "test")
    assert kept[:, 30:35].all() and 0.24 < kept.mean() < 0.26
    everything = seen(to_kspace(target), np.ones((1, 64), bool))
    np.testing.assert_allclose(everything, target, atol=1e-8)


def test_a_task_sees_the_centre_in_deviations():
    source = velodrome.open_source(spec_of(), "heldout")
    raw = datasets.get(STAND_IN).load("heldout")
    index = int(source.indices(0, 0, 1, 2)[0, 0])
    batch = {name: np.asarray(array[0]) for name, array in source.batch(0, 0, 2).items()}
    centre = (index, slice(24, 40), slice(24, 40))
    image, target = raw["image"][centre].astype(float), raw["target"][centre].astype(float)
    assert batch["mean"] == pytest.approx(image.mean())
    assert batch["std"] == pytest.approx(image.std())
    normal = (image - image.mean()) / image.std()
    np.testing.assert_allclose(batch["image"], np.clip(normal, -6, 6), rtol=1e-4, atol=1e-4)
    normal = (target - image.mean()) / image.std()
    np.testing.assert_allclose(batch["target"], np.clip(normal, -6, 6), rtol=1e-4, atol=1e-4)
    assert batch["volume_max"] == raw["volume_max"][index]
    with pytest.raises(SpecError, match="at most 64, the size of 'stand-in:fastmri'"):
        velodrome.open_source(spec_of(image_size=65), "train")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("image", lambda array: array[:, :9], r"has the image int16\[390, 9, 64\]"),
        ("target", lambda array: array[:9], "390 images, but 9 of target"),
        ("target", lambda array: array - 5000, "negative or not finite in target 0"),
        ("volume_max", lambda array: array - array, "volume_max 0.0 at 0, which is not positive"),
        ("volume_max", lambda array: array.astype(int), r"float32\[390\] is needed"),
    ],
)
def test_wrong_arrays_are_named(name, change, message):
    dataset: Dataset = datasets.get(STAND_IN)
    arrays = dict(dataset.load("heldout"))
    with pytest.raises(DataError, match=message):
        verify_facts(dataset.info, "heldout", {**arrays, name: change(np.asarray(arrays[name]))})
