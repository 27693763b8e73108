"""Augmentations wrap any task, compose, and do to loss and gradient what they say."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.contracts.task import quick
from velodrome.foundation.errors import SpecError
from velodrome.taskgen.augmentation import KINDS, PUBLISHED, Augmentation, sample_augmentations
from velodrome.taskgen.build import build
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.description import cost
from velodrome.taskgen.functions import Corpus
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.wrappers.wrapping import AugmentedTask, augment

CONFIG = {"hidden_size": 4, "num_layers": 1, "image_size": 4}
PLAIN = TaskSpec("mlp", CONFIG, DataSpec("digits"), 8)


def spec(*augmentations) -> TaskSpec:
    return dataclasses.replace(PLAIN, augmentations=augmentations)


@pytest.fixture(scope="module")
def batch():
    images = jax.random.uniform(jax.random.key(1), (8, 4, 4, 1), jnp.float32)
    return {"image": images, "label": jnp.arange(8, dtype=jnp.int32)}


def first_step(task, key, batch, dynamic=None):
    """Return loss, state and gradient of the first training step, and the parameters."""

    @quick
    def step(key):
        params, state = task.init(key, dynamic)

        def loss(params):
            return task.loss(params, state, key, batch, train=True, dynamic=dynamic)

        (value, after), slope = jax.value_and_grad(loss, has_aux=True)(params)
        return value, after, slope, params

    return step(key)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.fixture(scope="module")
def plain(batch):
    value, _, slope, params = first_step(build(PLAIN), jax.random.key(0), batch)
    return float(value), flat(slope), flat(params)


@pytest.mark.parametrize("level", ["none", "global", "tensor", "parameter"])
def test_other_units_change_no_loss_and_scale_the_gradient(level, batch, plain):
    entry = {"name": "reparam_weights", "level": level, "range": 100.0, "seed": 5}
    task = build(spec(entry))
    value, state, slope, params = first_step(task, jax.random.key(0), batch)
    scales = flat(state["scales"])
    assert value == pytest.approx(plain[0], rel=1e-5)
    np.testing.assert_allclose(flat(params) * scales, plain[2], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(flat(slope), plain[1] * scales, rtol=2e-4, atol=1e-6 * scales.max())
    tensors = len(jax.tree.leaves(params))
    found = len(np.unique(scales))
    assert found == {"none": 1, "global": 1, "tensor": tensors, "parameter": len(scales)}[level]
    assert scales.min() >= 0.00999
    assert scales.max() <= 100.01
    assert (scales == 1).all() == (level == "none")
    evaluated = task.metrics(params, state, jax.random.key(0), batch)["loss"]
    assert evaluated[0] / evaluated[1] == pytest.approx(plain[0], rel=1e-4)


def test_one_program_serves_all_levels_and_ranges(batch, plain):
    task = build(spec("reparam_weights"))
    levels, ranges = jnp.arange(4), jnp.asarray([10.0, 10.0, 100.0, 1000.0], jnp.float32)

    def loss_of(level, widest, seed):
        dynamic = {
            "reparam_weights.level": level,
            "reparam_weights.range": widest,
            "reparam_weights.seed": seed,
        }
        params, state = task.init(jax.random.key(0), dynamic)
        value, _ = task.loss(params, state, jax.random.key(0), batch, train=True, dynamic=dynamic)
        return value, state["scales"]

    values, scales = quick(jax.vmap(loss_of))(levels, ranges, jnp.arange(4))
    np.testing.assert_allclose(values, plain[0], rtol=1e-5)
    kernel = jax.tree.leaves(scales)[-1].reshape(4, -1)
    assert [len(np.unique(row)) for row in kernel[:3]] == [1, 1, 1]
    assert len(np.unique(kernel[3])) == kernel.shape[1]


def test_a_scaled_loss_has_a_scaled_gradient_and_is_evaluated_plain(batch, plain):
    task = build(spec({"name": "loss_scale", "scale": 8.0}))
    value, state, slope, params = first_step(task, jax.random.key(0), batch)
    assert value == pytest.approx(8 * plain[0], rel=1e-5)
    np.testing.assert_allclose(flat(slope), 8 * plain[1], rtol=1e-4, atol=1e-6)
    assert isinstance(task, AugmentedTask)
    assert task.plain_loss(value) == pytest.approx(plain[0], rel=1e-5)
    assert task.plain_loss(jnp.float32(6), {"loss_scale.scale": 2.0}) == 3.0
    total, count = task.metrics(params, state, jax.random.key(0), batch)["loss"]
    assert total / count == pytest.approx(plain[0], rel=1e-5)


def test_a_normalised_gradient_has_norm_one_and_its_direction(batch, plain):
    _, _, slope, _ = first_step(build(spec("normalize_gradient")), jax.random.key(0), batch)
    np.testing.assert_allclose(
        flat(slope), plain[1] / np.linalg.norm(plain[1]), rtol=1e-4, atol=1e-6
    )


def test_noise_has_the_asked_for_size(batch, plain):
    task = build(spec({"name": "gradient_noise", "level": 0.5}))
    _, _, slope, _ = first_step(task, jax.random.key(0), batch)
    noise = flat(slope) - plain[1]
    size = np.linalg.norm(plain[1]) * 0.5
    # A chi with as many degrees of freedom as there are numbers: within five deviations.
    assert abs(np.linalg.norm(noise) / size - 1) < 5 / np.sqrt(2 * len(noise))
    silent = build(spec({"name": "gradient_noise", "level": 0.0}))
    np.testing.assert_allclose(
        flat(first_step(silent, jax.random.key(0), batch)[2]), plain[1], rtol=1e-4, atol=1e-7
    )


def test_projections_add_up_to_the_gradient_in_the_mean(batch, plain):
    directions = 20_000
    task = build(spec({"name": "subsample_directions", "directions": directions}))
    _, _, slope, _ = first_step(task, jax.random.key(0), batch)
    size = len(plain[1])
    estimate = flat(slope) * size / directions  # E[u u^T] = I / size
    error = np.linalg.norm(estimate - plain[1])
    # The sum over coordinates of the variance of a projection is size * |g|^2, about.
    assert error < 1.3 * np.linalg.norm(plain[1]) * np.sqrt(size / directions)


def test_es_gives_the_plain_loss_and_a_gradient_in_the_span_of_its_pairs(batch, plain):
    task = build(spec({"name": "es", "pairs": 16, "std": 1e-3}))
    value, _, slope, _ = first_step(task, jax.random.key(0), batch)
    assert value == pytest.approx(plain[0], rel=1e-5)
    assert not np.allclose(flat(slope), plain[1], rtol=1e-2)
    # E[<estimate, g>] = |g|^2; its relative standard deviation is sqrt(2 / pairs).
    along = np.dot(flat(slope), plain[1]) / np.dot(plain[1], plain[1])
    assert abs(along - 1) < 4 * np.sqrt(2 / 16)


def test_a_reduced_batch_is_its_first_examples(batch):
    task = build(spec({"name": "reduced_batch", "fraction": 0.3}))
    value, *_ = first_step(task, jax.random.key(0), batch)
    few = jax.tree.map(lambda leaf: leaf[:2], batch)
    expected, *_ = first_step(build(PLAIN), jax.random.key(0), few)
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_bfloat16_rounds_the_gradient_to_eight_bits(batch, plain):
    value, _, slope, params = first_step(build(spec("bfloat16")), jax.random.key(0), batch)
    found = flat(slope)
    np.testing.assert_array_equal(found, np.float32(jnp.asarray(found, jnp.bfloat16)))
    np.testing.assert_allclose(found, plain[1], atol=0.05 * np.abs(plain[1]).max())
    np.testing.assert_array_equal(flat(params), plain[2])
    assert value != plain[0]


def test_delayed_gradients_are_those_of_older_parameters(batch):
    delay, rate = 2, 0.5
    task = build(spec({"name": "delayed_gradient", "steps": delay}))
    base = build(PLAIN)
    key = jax.random.key(0)
    grad = jax.jit(jax.value_and_grad(task.loss, has_aux=True), static_argnames="train")
    plain_grad = jax.jit(jax.value_and_grad(base.loss, has_aux=True), static_argnames="train")
    params, state = task.init(key)
    history, inner = [params], base.init(key)[1]
    for step in range(5):
        (value, state), slope = grad(params, state, key, batch, train=True)
        old = history[max(0, step - delay)]
        (expected, _), expected_slope = plain_grad(old, inner, key, batch, train=True)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(flat(slope), flat(expected_slope), rtol=1e-3, atol=1e-6)
        params = optax.apply_updates(params, jax.tree.map(lambda g: -rate * g, slope))
        history.append(params)


@pytest.mark.slow
def test_all_of_them_compose_and_train(batch):
    task = build(spec(*KINDS))
    assert set(task.dynamic) >= {"init_scale", "es.std", "reparam_weights.seed"}

    def losses(dynamic):
        params, state = task.init(jax.random.key(0), dynamic)

        def step(carry, index):
            params, state = carry
            key = jax.random.fold_in(jax.random.key(1), index)
            (value, state), slope = jax.value_and_grad(task.loss, has_aux=True)(
                params, state, key, batch, train=True, dynamic=dynamic
            )
            params = jax.tree.map(lambda p, g: p - 0.01 * g, params, slope)
            return (params, state), value

        return jax.lax.scan(step, (params, state), jnp.arange(4))[1]

    many = {name: jnp.asarray([value, value]) for name, value in task.dynamic.items()}
    found = jax.jit(jax.vmap(losses))(many)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], jax.jit(lambda: losses(None))(), rtol=1e-3)


def test_corpus_metrics_see_the_parameters_of_the_task(batch, plain):
    def collect(params, state, key, batch, *, dynamic=None):
        assert dynamic is None or not dynamic  # the wrappers' values are theirs
        return {"param": flat_array(params)[None], "state": jnp.float32(len(state))[None]}

    task = dataclasses.replace(build(PLAIN), corpus=Corpus(("one",), collect, lambda *_: {}))
    reparam = {"name": "reparam_weights", "level": "parameter", "range": 100.0, "seed": 5}
    delayed = {"name": "delayed_gradient", "steps": 2}
    wrapped = augment(task, spec(reparam, delayed).augmentations)
    corpus = wrapped.corpus
    assert corpus is not None

    @quick
    def collected(key):
        params, state = wrapped.init(key)
        dynamic = {"reparam_weights.range": jnp.float32(100.0)}
        return params, corpus.collect(params, state, key, batch, dynamic=dynamic)

    params, found = collected(jax.random.key(0))
    np.testing.assert_allclose(found["param"][0], plain[2], rtol=1e-5, atol=1e-8)
    assert found["state"] == 0 and not np.allclose(flat(params), plain[2])


def flat_array(tree) -> jax.Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_specs_round_trip_and_dynamic_fields_share_a_program():
    one = spec("bfloat16", {"name": "es", "pairs": 4, "std": 0.02})
    again = TaskSpec.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert again.hash == one.hash
    other = spec("bfloat16", Augmentation("es", {"pairs": 4, "std": 0.03}))
    assert other.hash != one.hash
    assert other.static_hash == one.static_hash
    assert spec("bfloat16", {"name": "es", "pairs": 2}).static_hash != one.static_hash
    assert spec("bfloat16").static_hash != PLAIN.static_hash
    assert "augmentations" not in PLAIN.to_json()
    assert PLAIN.hash == "705d91f4b073336a557518136d3c4e63ef824c73ea81077c635b28305a26e4dc"


@pytest.mark.parametrize(
    ("augmentations", "words"),
    [
        (["reparam"], "augmentations: got 'reparam'.*did you mean 'reparam_weights'"),
        ([{"name": "es", "std": -1.0}], "augmentations.es.std: got -1.0"),
        ([{"name": "es", "sd": 1.0}], "augmentations.es: got 'sd'.*did you mean 'std'"),
        ([{"std": 1.0}], "the key 'name'"),
        (["es", {"name": "es"}], "there once only"),
        ("es", "a list"),
    ],
)
def test_wrong_augmentations_are_refused_by_name(augmentations, words):
    with pytest.raises(SpecError, match=words):
        TaskSpec.from_json({**PLAIN.to_json(), "augmentations": augmentations})


def test_they_are_sampled_with_the_published_probabilities():
    draws = NamedRng(0, "augmentations")
    count = 1000
    drawn = [sample_augmentations(draws.child(index), "mlp") for index in range(count)]
    for name, probability in PUBLISHED.items():
        found = sum(name in [entry.name for entry in some] for some in drawn)
        spread = np.sqrt(count * probability * (1 - probability))
        assert abs(found - count * probability) <= 4 * spread, name
    levels = [some[0].config.level for some in drawn]
    assert abs(levels.count("parameter") / count - 1 / 7) < 0.05
    assert abs(levels.count("none") / count - 2 / 7) < 0.06
    some = sample_augmentations(draws.child(3), "mlp", {"gradient_noise": 1.0})
    assert [entry.name for entry in some] == ["gradient_noise"]
    assert sample_augmentations(draws, "learned_optimizer", {"reduced_batch": 1.0}) == ()


def test_the_cost_counts_what_is_computed():
    assert cost(spec("bfloat16")) == cost(PLAIN)
    half = cost(spec({"name": "reduced_batch", "fraction": 0.5}))
    assert half == cost(dataclasses.replace(PLAIN, batch_size=4))
    estimated = cost(spec({"name": "es", "pairs": 2}))
    assert estimated.flops == 5 * cost(PLAIN).eval_flops_per_example * 8
