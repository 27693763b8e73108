from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.taskgen.nn import activations, choices, losses
from velodrome.taskgen.views import ImageView, TextView


def test_classification_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    found = losses.classification(logits, {"label": jnp.array([1, 1])}, ImageView(4, 1, 3))
    total, count = found["loss"]
    assert float(total) == pytest.approx(math.log(4) + math.log(1 / 0.8), rel=1e-6)
    assert float(count) == 2
    assert [float(part) for part in found["accuracy"]] == [1, 2]


def test_language_models_are_scored_where_the_input_is_no_padding():
    logits = jnp.zeros((2, 3, 5))
    batch = {"obs": jnp.array([[1, 2, 0], [0, 4, 4]]), "target": jnp.array([[0, 1, 2], [3, 4, 0]])}
    found = losses.language_model(logits, batch, TextView(3, 5))
    total, count = found["loss"]
    assert float(count) == 4
    assert float(total) == pytest.approx(4 * math.log(5), rel=1e-6)
    assert float(found["accuracy"][0]) == 2  # argmax of a tie is class 0
    nothing = {name: jnp.zeros_like(value) for name, value in batch.items()}
    assert [
        float(part) for part in losses.language_model(logits, nothing, TextView(3, 5))["loss"]
    ] == [0, 1]


def test_folding_keeps_small_tokens_and_maps_all_others_inside():
    tokens = jnp.arange(1000)
    folded = np.asarray(losses.fold_tokens(tokens, 100))
    np.testing.assert_array_equal(folded[:100], np.arange(100))
    assert folded[100:].min() == 1 and folded[100:].max() == 99  # never padding, never outside
    assert folded[100] == 2 and folded[198] == 1
    np.testing.assert_array_equal(losses.fold_tokens(tokens, 1000), tokens)


@pytest.mark.parametrize("classes", [10, 259, 32_100])
def test_the_published_normalizer(classes):
    view = ImageView(4, 1, classes)

    def normalize(loss):
        return float(losses.normalize_classification(jnp.float32(loss), view))

    chance = 10 * math.log(5) / math.log(classes)
    assert normalize(math.log(classes)) == pytest.approx(chance, rel=1e-4)
    worst = 10 * math.log(10) / math.log(classes)
    for loss in (math.nan, math.inf, -math.inf, 1e9):
        assert normalize(loss) == pytest.approx(worst, rel=1e-4)
    assert (
        normalize(-1.0)
        == normalize(0.0)
        == pytest.approx(-10 * math.log(classes / 5) / math.log(classes), rel=1e-4)
    )
    text = losses.normalize_language_model(jnp.float32(1.5), TextView(4, classes))
    assert float(text) == normalize(1.5)


def test_activations_traced_and_constant_agree_and_have_their_quirks():
    x = jnp.linspace(-4, 4, 41)
    traced = jax.vmap(activations.activate, in_axes=(None, 0))(x, jnp.arange(10))
    by_name = {
        name: activations.activate(x, index) for index, name in enumerate(choices.ACTIVATIONS)
    }
    for row, name in zip(traced, choices.ACTIVATIONS, strict=True):
        np.testing.assert_allclose(row, by_name[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_name["abs_leaky_relu"], np.where(x < 0, 0.5 * abs(x), x))
    np.testing.assert_allclose(by_name["silu"], x / (1 + np.exp(-x)), rtol=1e-5, atol=1e-6)
    assert sum(choices._ACTIVATION_WEIGHTS) == 12
