"""Products in bfloat16, and float32 for whatever needs its digits."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import velodrome
from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.tracing import count_program
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.mixed_precision import Kind, in_bfloat16
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.precision import Precision
from velodrome.taskgen.spec import TaskSpec

PATCHES = {"num_layers": 1, "num_heads": 2, "head_dim": 8, "mlp_dim": 16}
SPEECH = {"audio_length": 8_000, "label_length": 7}
#: A small task of every family that has a network.
SMALL = {
    "mlp": ({"hidden_size": 64}, "digits"),
    "cnn": ({"hidden_size": 8, "num_layers": 2, "image_size": 8}, "digits"),
    "autoencoder": ({"hidden_size": 32, "image_size": 8}, "digits"),
    "tabular_mlp": ({"hidden_size": 32}, "breast_cancer"),
    "rnn": ({"rnn_size": 16, "embed_size": 8, "sequence_length": 8, "cell": "lstm"}, "kjv"),
    "transformer": (
        {"d_model_per_head": 8, "num_heads": 2, "num_layers": 1, "sequence_length": 8},
        "kjv",
    ),
    "resnet": ({"image_size": 8, "base_channels": 8, "max_pool": False}, "digits"),
    "resnet50": (  # the second stage has a block that keeps its size
        {"image_size": 16, "base_channels": 4, "blocks_1": 1, "blocks_3": 1, "blocks_4": 1}
        | {"blocks_2": 2},
        "digits",
    ),
    "vit": ({**PATCHES, "image_size": 8}, "digits"),
    "vit_s16": ({**PATCHES, "image_size": 16, "patch_size": 4}, "digits"),
    "mlp_mixer": ({"num_layers": 1, "image_size": 8}, "digits"),
    "wmt_transformer": (
        {"num_layers": 1, "num_heads": 2, "head_dim": 8, "source_length": 12, "target_length": 12},
        "bible_translation",
    ),
    "conformer": ({"num_blocks": 1, "num_heads": 2, "head_dim": 8, **SPEECH}, "synthetic_tones"),
    "deepspeech": (
        {"recurrent_blocks": 1, "feed_forward_blocks": 1, "units": 8, **SPEECH},
        "synthetic_tones",
    ),
    "gnn": ({"latent_size": 16, "hidden_size": 16, "rounds": 2}, "networkx_atlas"),
    "dlrm": ({"vocab_size": 256, "embed_size": 8}, "stand-in:criteo1tb"),
    "unet": ({"base_channels": 4, "num_pools": 2, "image_size": 16}, "stand-in:fastmri"),
}


def families(*quick: str) -> list[Any]:
    """All of them, of which few are quick enough to be run always."""
    return [pytest.param(name, marks=[pytest.mark.long] * (name not in quick)) for name in SMALL]


NARROW = Precision(compute="bfloat16")


def small(family: str, **changes) -> TaskSpec:
    config, data = SMALL[family]
    return TaskSpec(family, {**config, **changes}, DataSpec(data), 8)


def narrow(spec: TaskSpec) -> TaskSpec:
    return dataclasses.replace(spec, precision=NARROW)


def types(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_every_family_with_a_network_is_here():
    found = {name for name in velodrome.families.names() if not velodrome.families.get(name).build}
    assert found == set(SMALL)


@pytest.mark.parametrize("family", families("mlp", "transformer"))
def test_products_are_narrow_and_what_comes_out_is_not(family):
    spec = small(family)
    batch = batch_shapes(spec.view, 8)
    types_of, bytes_of = [], []
    for each in (spec, narrow(spec)):
        task = velodrome.build(each)
        step = jax.value_and_grad(task.loss, has_aux=True)

        def train(params, state, key, batch, step=step):
            return step(params, state, key, batch, train=True)

        arguments = (*task.shapes, jax.eval_shape(lambda: jax.random.key(0)), batch)
        types_of.append(types(jax.eval_shape(train, *arguments)))
        bytes_of.append(count_program(train, *arguments).product_bytes)
        metrics = jax.eval_shape(task.metrics, *arguments)
        assert {leaf.dtype for leaf in jax.tree.leaves(metrics)} == {jnp.dtype(jnp.float32)}
    assert types_of[0] == types_of[1]
    features = family in ("conformer", "deepspeech")  # log-mel and CTC stay as they were
    assert bytes_of[1] < (0.9 if features else 0.55) * bytes_of[0]


@pytest.mark.parametrize("family", families("mlp"))
def test_loss_and_gradient_are_near_those_of_float32(family, key):
    """The loss to 1%, the gradient to 5% of its norm; 10% through many norms over a batch or image.

    That of `unet` has only signs of differences.
    """
    spec = small(family)
    batch = velodrome.open_source(spec, "train").batch(0, 0, 8)
    found = []
    for each in (spec, narrow(spec)):
        task = velodrome.build(each)

        @jax.jit
        def start_and_step(key, batch, task=task):
            params, state = task.init(key)
            return jax.value_and_grad(task.loss, has_aux=True)(
                params, state, key, batch, train=True
            )

        (loss, _), gradient = start_and_step(key, batch)
        found.append((float(loss), jax.flatten_util.ravel_pytree(gradient)[0]))
    (loss, gradient), (near_loss, near) = found
    assert near_loss == pytest.approx(loss, rel=0.01)
    assert (near != gradient).any()  # it was computed in another way
    deep = family in ("resnet", "resnet50", "deepspeech", "unet")
    assert jnp.linalg.norm(near - gradient) < (0.1 if deep else 0.05) * jnp.linalg.norm(gradient)


@pytest.mark.parametrize("family", ["mlp", pytest.param("rnn", marks=pytest.mark.long)])
def test_training_lowers_the_loss(family):
    spec = narrow(small(family))
    curve = velodrome.train(spec, "adam", steps=40, learning_rate=1e-2)
    first, last = curve["heldout loss"].dropna().iloc[[0, -1]]
    assert last < 0.9 * first


def run(function, *args, kinds):
    return jax.jit(in_bfloat16(function, kinds))(*args)


def test_what_no_parameter_enters_keeps_all_its_digits(key):
    x = jax.random.normal(key, (64, 8))
    features, _ = run(lambda w: (jnp.exp(x) @ x.T, w * 2.0), jnp.ones(3), kinds=[Kind.NARROW])
    np.testing.assert_allclose(features, jnp.exp(x) @ x.T, rtol=1e-4, atol=1e-4)


def test_variances_and_softmax_are_float32(key):
    """Far from zero, a variance in bfloat16 has no digit left; small probabilities keep theirs."""
    x = 100 + jax.random.normal(key, (4, 256))
    found = run(lambda x: (x.var(axis=1), jax.nn.softmax(x - 100)), x, kinds=[Kind.NARROW])
    np.testing.assert_allclose(found[0], x.var(axis=1), rtol=1e-5)
    # It sees rounded scores, but it sums to 1 in float32.
    np.testing.assert_allclose(found[1].sum(axis=1), 1.0, rtol=1e-6)


def test_gradients_of_shared_parameters_are_added_up_in_float32():
    """In bfloat16 a sum of ones stops at 256."""
    count = 4096
    tokens = jnp.zeros((count,), jnp.int32)

    def loss(params):
        rows = params["table"][tokens] + params["bias"][None]
        return jnp.sum(run_over(rows, params["scale"]))

    def run_over(rows, scale):
        return jax.lax.scan(lambda total, row: (total + row * scale, None), jnp.zeros(2), rows)[0]

    params = {"table": jnp.zeros((3, 2)), "bias": jnp.ones(2), "scale": jnp.ones(2)}
    slope = jax.jit(jax.grad(in_bfloat16(loss, [Kind.NARROW])))(params)
    for name, value in (("table", slope["table"][0]), ("bias", slope["bias"])):
        np.testing.assert_allclose(value, count, err_msg=name)
    np.testing.assert_allclose(slope["scale"], count)


def test_calls_loops_and_branches_are_followed(key):
    """With the gradients that their authors gave: that of relu at 0 is 0."""
    x = jax.random.normal(key, (4, 4))

    def network(w):
        hidden = jax.nn.relu((x * 0.0) @ w)
        hidden = hidden + jax.checkpoint(lambda w: jnp.tanh(x @ w))(w)
        last, every = jax.lax.scan(lambda h, y: (jnp.tanh(h @ w + y), h), hidden, jnp.stack([x, x]))
        branches = [jnp.tanh, jnp.cos, lambda y: jax.nn.softmax(y)]
        return jax.lax.switch((x[0, 0] > -9).astype(jnp.int32), branches, last @ w), every, 0.1

    def loss(network, w):
        out, every, smoothing = network(w)
        assert smoothing == 0.1  # what is no array comes out as it is
        return jnp.sum(out**2) + jnp.sum(every)

    w = 0.3 * jnp.eye(4)
    exact = jax.grad(lambda w: loss(network, w))(w)
    near = jax.jit(jax.grad(lambda w: loss(in_bfloat16(network, [Kind.NARROW]), w)))(w)
    assert near.dtype == jnp.float32
    assert jnp.linalg.norm(near - exact) < 0.02 * jnp.linalg.norm(exact)
    relu = jax.grad(lambda w: in_bfloat16(lambda w: jax.nn.relu(w).sum(), [Kind.NARROW])(w))
    np.testing.assert_array_equal(relu(jnp.zeros(3)), 0.0)


def test_a_mask_of_the_most_negative_number_stays_finite():
    least = jnp.finfo(jnp.float32).min
    found = run(
        lambda x: jnp.where(jnp.array([True, False]), x, least) * 1.0,
        jnp.ones(2),
        kinds=[Kind.NARROW],
    )
    assert jnp.isfinite(found).all()


def test_precision_is_a_part_of_the_task():
    plain, spec = small("mlp"), narrow(small("mlp"))
    assert plain.to_json().get("precision") is None
    assert spec.to_json()["precision"] == {"compute": "bfloat16"}
    short = {**plain.to_json(), "precision": "bfloat16"}
    assert TaskSpec.from_json(spec.to_json()) == TaskSpec.from_json(short) == spec
    assert dataclasses.replace(plain, precision="bfloat16") == spec
    assert len({plain.hash, spec.hash}) == len({plain.static_hash, spec.static_hash}) == 2
    assert spec.label.endswith("-bfloat16")
    with pytest.raises(SpecError, match="makes its own functions"):
        TaskSpec("es_wrapped", {}, DataSpec("digits"), 8, precision=NARROW)


def test_predicted_memory_and_traffic_fall():
    for family in ("mlp", "transformer"):
        plain, found = (velodrome.cost(spec) for spec in (small(family), narrow(small(family))))
        assert found.flops == plain.flops
        assert found.activation_bytes < 0.9 * plain.activation_bytes
        assert found.bytes < 0.9 * plain.bytes
        assert found.memory_bytes < plain.memory_bytes
