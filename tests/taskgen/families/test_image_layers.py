"""Layers of the image families: norms, dropout, pooling, blocks, attention, patches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from image_variants import ready, variant
from small_tasks import quick

import velodrome
from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.families.mlp import MLPView

pytestmark = pytest.mark.slow


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
    # Training on a single example sees a variance of zero; evaluation does not care.
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
    from velodrome.taskgen.nn.layers import dropout

    dropped = dropout(jnp.full((400, 100), 3.0), 0.8, key)
    assert set(np.unique(dropped).round(3)) == {0.0, 15.0}
    assert float(dropped.mean()) == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 5, 2), (1, 1, 1, 1)])
def test_max_pool_is_the_library_s(shape, key):
    from flax import nnx

    from velodrome.taskgen.nn.conv import max_pool

    image = jax.random.normal(key, shape)
    expected = nnx.max_pool(image, (3, 3), (2, 2), "SAME")
    np.testing.assert_array_equal(max_pool(image, window=3, stride=2), expected)


def test_the_first_residual_block_of_version_1_is_its_shortcut(key):
    """The scale of its last norm starts at zero, so only the projection gets through."""
    _, params, _, _ = ready(variant("resnet-v1"), key)
    assert not np.any(params["block_0"]["norm_2"]["scale"])
    assert set(params["block_0"]) >= {"projection", "projection_norm"}
    assert "projection" not in params["block_2"]  # the second of its group
    second, _ = velodrome.build(variant("resnet-v2")).shapes
    assert "projection_norm" not in second["block_0"] and "stem_norm" not in second


def test_the_last_activation_of_version_2_is_that_of_the_config(key):
    """Its last norm gives -1 everywhere, and only the first class sees it."""
    task, params, state, batch = ready(variant("resnet-v2", activation="tanh"), key)
    norm, output = params["output_norm"], params["output"]
    norm["scale"], norm["offset"] = 0 * norm["scale"], 0 * norm["offset"] - 1.0
    output["kernel"] = output["kernel"].at[:, 0].set(1.0)
    logits = jnp.zeros(output["kernel"].shape[1]).at[0].set(norm["offset"].size * np.tanh(-1.0))
    expected = -jax.nn.log_softmax(logits)[batch["label"]].mean()
    loss, _ = quick(lambda params: task.loss(params, state, key, batch, train=True))(params)
    assert loss == pytest.approx(float(expected), rel=1e-5)


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
    alone, _ = velodrome.build(variant("vit", patch_size=16)).shapes
    assert alone["positions"].shape[1] == 1


def test_a_mixer_needs_a_patch():
    with pytest.raises(SpecError, match="config.patch_size.*at most 16"):
        velodrome.cost(variant("mlp_mixer", patch_size=17))


def test_grey_images_have_one_channel():
    view = variant("mlp-layer_norm").view
    assert view == MLPView(8, 1, datasets.get("photos").info.num_classes)
