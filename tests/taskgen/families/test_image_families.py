"""The families of the published image tasks, and what their fixed tasks need besides."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import random_batch

import taskgen
from foundation.errors import SpecError
from taskgen.data import datasets
from taskgen.families.building import batch_shapes, trace_network_cost
from taskgen.spec import DataSpec, TaskSpec
from taskgen.tracing import count_program

pytestmark = pytest.mark.slow

NEW = ("autoencoder", "resnet", "vit", "mlp_mixer")

RESNET = {
    "base_channels": 4,
    "channel_pattern": "1-1-1-1",
    "stem_channels": 4,
    "image_size": 9,
    "blocks_2": 2,
}
VIT = {"num_layers": 1, "num_heads": 2, "head_dim": 4, "mlp_dim": 8, "patch_size": 4}
VARIANTS = {
    "autoencoder": ("autoencoder", {"hidden_size": 6, "bottleneck_size": 3, "num_layers": 3}),
    "autoencoder-log": (
        "autoencoder",
        {"hidden_size": 6, "log_loss": True, "center_data": True, "activation": "tanh"},
    ),
    "resnet-v1": ("resnet", RESNET),
    "resnet-v2": ("resnet", {**RESNET, "version": "v2", "max_pool": False}),
    "vit": ("vit", {**VIT, "image_size": 8, "dropout": 0.3, "attention_dropout": 0.2}),
    "mlp_mixer": ("mlp_mixer", {"hidden_size": 6, "tokens_mlp_dim": 5, "channels_mlp_dim": 7}),
    "mlp-batch_norm": ("mlp", {"hidden_size": 6, "normalization": "batch_norm"}),
    "mlp-layer_norm": ("mlp", {"hidden_size": 6, "normalization": "layer_norm", "grey": True}),
    "mlp-dropout": ("mlp", {"hidden_size": 6, "dropout": 0.5, "loss": "mse"}),
    "cnn-batch_norm": (
        "cnn",
        {"hidden_size": 6, "first_hidden_size": 3, "normalization": "batch_norm"},
    ),
    "cnn-layer_norm": ("cnn", {"hidden_size": 6, "normalization": "layer_norm"}),
}


def variant(name: str, *, batch_size: int = 8, data: str = "photos", **changes) -> TaskSpec:
    family, config = VARIANTS[name]
    return TaskSpec(family, {**config, **changes}, DataSpec(data), batch_size)


@pytest.mark.parametrize("name", VARIANTS)
def test_contract(name, key, strict_dtypes):
    """What `velodrome check` asks of a task, in one compiled program."""
    spec = variant(name)
    task, batch = taskgen.build(spec), random_batch(spec, key)

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


def quick(function, **options):
    """Compiled with little care: these tests compile much and compute little."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **options)


def ready(spec, key):
    """Returns the task of a spec, with parameters, state and a batch."""
    task = taskgen.build(spec)
    params, state = quick(task.init)(key)
    return task, params, state, random_batch(spec, key)


def assert_cost_is_traced(spec):
    """FLOPs of a step within 10%, parameters exactly; nothing is compiled."""
    info = datasets.get(spec.data.name).info
    task, key = taskgen.build(spec), jax.eval_shape(lambda: jax.random.key(0))

    def step(*arguments):
        return jax.value_and_grad(task.loss, has_aux=True)(*arguments, train=True)

    found = count_program(step, *task.shapes, key, batch_shapes(spec.family_object, spec, info))
    assert taskgen.cost(spec).flops == pytest.approx(found.flops, rel=0.1), spec
    assert taskgen.cost(spec).params == sum(leaf.size for leaf in jax.tree.leaves(task.shapes[0]))


@pytest.mark.parametrize("family", NEW)
def test_closed_forms_are_the_traced_program(family):
    for spec in taskgen.sample(4, seed=11, family=family):
        assert_cost_is_traced(spec)


@pytest.mark.parametrize("name", VARIANTS)
def test_closed_forms_of_variants(name):
    spec = variant(name, batch_size=32)
    assert_cost_is_traced(spec)
    closed = taskgen.cost(spec)
    traced = trace_network_cost(spec.family_object, spec, datasets.get("photos").info)
    assert traced.bytes / 5 < closed.bytes < 5 * traced.bytes
    assert all(type(value) is int and value > 0 for value in closed.to_json().values())


# A sample stands for results: these change only with the version of the family.
@pytest.mark.parametrize(
    ("family", "first"),
    [
        ("autoencoder", "d8a81cb57d5293c1"),
        ("resnet", "b2b538ca49aab533"),
        ("vit", "66665eccc43149b5"),
        ("mlp_mixer", "13807c3239c0eb7a"),
    ],
)
def test_samples_stay_the_same(family, first):
    specs = taskgen.sample(20, seed=0, family=family)
    assert specs[0].hash[:16] == first
    assert len({spec.hash for spec in specs}) == 20
    for spec in specs:
        assert TaskSpec.from_json(spec.to_json()) == spec


def test_sampled_fields_that_depend_on_each_other():
    resnets = [spec.config for spec in taskgen.sample(60, seed=1, family="resnet")]
    assert all(config.version == "v1" for config in resnets)
    assert max(config.blocks_3 for config in resnets) > 2
    vits = [spec.config for spec in taskgen.sample(60, seed=1, family="vit")]
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
    task = taskgen.build(spec)
    params, state = task.init(key)
    image = np.asarray(random_batch(spec, key)["image"])
    x = 2 * (image - 0.5)
    output = x.reshape(8, -1) @ np.asarray(params["output"]["kernel"])
    columns = np.square(output.reshape(x.shape) - x).mean(axis=1)
    loss, _ = task.loss(params, state, key, {"image": image, "label": None}, train=True)
    assert float(loss) == pytest.approx(np.log(columns + 1e-8).mean(), rel=1e-4)
    assert float(task.normalize(loss)) == pytest.approx(10 + 0.5 * float(loss), rel=1e-6)
    assert float(task.normalize(jnp.inf)) == 10.5


def test_the_bottleneck_is_in_the_middle(key):
    params, _ = taskgen.build(variant("autoencoder")).shapes
    widths = [params[f"dense_{layer}"]["kernel"].shape[1] for layer in range(3)]
    assert widths == [6, 3, 6]


@pytest.mark.parametrize("name", ["mlp-batch_norm", "cnn-batch_norm"])
def test_batch_norm_sees_the_batch_in_training_and_averages_in_evaluation(name, key):
    task, params, state, batch = ready(variant(name), key)
    loss = quick(task.loss, static_argnames="train")
    first, after = loss(params, state, key, batch, train=True)
    again, twice = loss(params, after, key, batch, train=True)
    assert float(first) == float(again)  # what was before does not matter
    once = loss(params, after, key, batch, train=False)
    # After steps on one and the same batch, the debiased averages are its statistics.
    assert float(once[0]) == pytest.approx(float(first), rel=1e-4)
    assert float(loss(params, twice, key, batch, train=False)[0]) == pytest.approx(
        float(first), rel=1e-4
    )
    for leaf, kept in zip(jax.tree.leaves(after), jax.tree.leaves(once[1]), strict=True):
        np.testing.assert_array_equal(leaf, kept)  # an evaluation leaves them alone
    # Of one example alone, training sees a variance of zero; evaluation does not care.
    one = {name: leaf[:1] for name, leaf in batch.items()}
    rest = {name: leaf[1:] for name, leaf in batch.items()}
    parts = [float(loss(params, after, key, part, train=False)[0]) for part in (one, rest)]
    assert (parts[0] + 7 * parts[1]) / 8 == pytest.approx(float(once[0]), rel=1e-4)
    assert abs(float(loss(params, after, key, one, train=True)[0]) - parts[0]) > 1e-3


@pytest.mark.parametrize("name", ["mlp-dropout", "vit"])
def test_dropout_acts_in_training_only(name, key):
    task, params, state, batch = ready(variant(name), key)
    # The last layer of the transformer starts at zero, where nothing can be seen.
    params["output"]["kernel"] += 0.3 * jax.random.normal(key, params["output"]["kernel"].shape)
    loss = quick(task.loss, static_argnames="train")
    other = jax.random.fold_in(key, 1)
    dropped = [float(loss(params, state, k, batch, train=True)[0]) for k in (key, other)]
    kept = [float(loss(params, state, k, batch, train=False)[0]) for k in (key, other)]
    assert kept[0] == kept[1] and len({*dropped, *kept}) == 3
    metrics = quick(task.metrics, static_argnames="train")
    total, count = metrics(params, state, key, batch, train=True)["loss"]
    assert float(total / count) == pytest.approx(dropped[0], rel=1e-5)


def test_dropout_keeps_the_mean(key):
    from taskgen.families._layers import dropout

    dropped = dropout(jnp.full((400, 100), 3.0), 0.8, key)
    assert set(np.unique(dropped).round(3)) == {0.0, 15.0}
    assert float(dropped.mean()) == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 5, 2), (1, 1, 1, 1)])
def test_max_pool_is_the_library_s(shape, key):
    from flax import nnx

    from taskgen.families._conv import max_pool

    image = jax.random.normal(key, shape)
    expected = nnx.max_pool(image, (3, 3), (2, 2), "SAME")
    np.testing.assert_array_equal(max_pool(image, window=3, stride=2), expected)


def test_the_first_residual_block_of_version_1_is_its_shortcut(key):
    """The scale of its last norm starts at zero, so only the projection gets through."""
    _, params, _, _ = ready(variant("resnet-v1"), key)
    assert not np.any(params["block_0"]["norm_2"]["scale"])
    assert set(params["block_0"]) >= {"projection", "projection_norm"}
    assert "projection" not in params["block_2"]  # the second of its group
    second, _ = taskgen.build(variant("resnet-v2")).shapes
    assert "projection_norm" not in second["block_0"] and "stem_norm" not in second


def test_attention_is_the_library_s(key):
    """One block against flax's own attention with the same kernels."""
    from flax import nnx

    plain = variant("vit", dropout=0.0, attention_dropout=0.0)
    task, params, state, batch = ready(plain, key)
    keys = iter(jax.random.split(key, 32))
    params = jax.tree.map(
        lambda leaf: leaf + 0.1 * jax.random.normal(next(keys), leaf.shape), params
    )
    ours = params["block_0"]["attention"]
    library = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0))
    for part in ("query", "key", "value", "out"):
        getattr(library, part).kernel[...] = ours[part]
        getattr(library, part).bias[...] = ours[f"{part}_bias"]

    def layer_norm(x, values):
        x = x - x.mean(-1, keepdims=True)
        x = x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * values["scale"][None, None] + values["bias"][None, None]

    def dense(x, values):
        return x @ values["kernel"] + values["bias"].reshape((1,) * (x.ndim - 1) + (-1,))

    image, block = batch["image"], params["block_0"]
    kernel = params["patches"]["kernel"]
    patches = jax.lax.conv_general_dilated(
        image, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ).reshape(8, 4, 8)
    patches = patches + params["patches"]["bias"][None, None]
    token = jnp.broadcast_to(params["class_token"], (8, 1, 8))
    x = jnp.concatenate([token, patches], axis=1) + params["positions"]
    x = x + library(layer_norm(x, block["attention_norm"]))
    hidden = nnx.gelu(dense(layer_norm(x, block["mlp_norm"]), block["mlp_in"]))
    x = x + dense(hidden, block["mlp_out"])
    logits = dense(layer_norm(x, params["output_norm"])[:, 0], params["output"])
    labels = jax.nn.one_hot(batch["label"], logits.shape[-1])
    expected = -(jax.nn.log_softmax(logits) * labels).sum(-1).mean()
    loss, _ = task.loss(params, state, key, batch, train=False)
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


def test_pixels_that_fill_no_patch_are_left_out(key):
    spec = variant("vit", image_size=11, patch_size=8)
    task, params, state, batch = ready(spec, key)
    params["output"]["kernel"] += jax.random.normal(key, params["output"]["kernel"].shape)
    changed = {**batch, "image": batch["image"].at[:, 8:].set(0.0)}
    loss = quick(task.loss, static_argnames="train")
    found = [float(loss(params, state, key, b, train=False)[0]) for b in (batch, changed)]
    assert found[0] == found[1]
    assert params["positions"].shape[1] == 2  # one patch and the class token
    # With a patch larger than the image, the class token is alone.
    alone, _ = taskgen.build(variant("vit", patch_size=16)).shapes
    assert alone["positions"].shape[1] == 1


def test_a_mixer_needs_a_patch():
    with pytest.raises(SpecError, match="config.patch_size.*at most 16"):
        taskgen.cost(variant("mlp_mixer", patch_size=17))


def test_grey_images_have_one_channel():
    spec = variant("mlp-layer_norm")
    view = spec.family_object.view(spec.config, datasets.get("photos").info)
    assert (view.size, view.channels) == (8, 1)
