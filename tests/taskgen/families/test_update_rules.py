"""The update rules that tasks train, against optax and against numpy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import quick

from velodrome.taskgen.families.learned_optimizer.config import RULES
from velodrome.taskgen.families.learned_optimizer.features import factored_axes
from velodrome.taskgen.families.learned_optimizer.rules import HORIZONS, make_rule

SHAPES = [(3, 4), (5,), ()]
STEP, EXP = 0.01, 0.3


def tensors(key, scale=1.0):
    keys = jax.random.split(key, len(SHAPES))
    return [scale * jax.random.normal(k, shape) for k, shape in zip(keys, SHAPES, strict=True)]


def run(rule, weights, gradients, start):
    """Return the tensors after each of the steps."""
    memory, now, after = rule.start(start), start, []
    for iteration, gradient in enumerate(gradients):
        now, memory = rule.update(weights, memory, now, gradient, jnp.int32(iteration), STEP, EXP)
        after.append(now)
    return after


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("sgd", optax.sgd(0.01)),
        ("sgdm", optax.sgd(0.01, momentum=0.9)),
        ("adam", optax.adam(1e-3, eps_root=1e-8)),
    ],
)
def test_rules_of_numbers_start_as_their_namesakes(name, reference, key, strict_dtypes):
    rule = make_rule(name, hidden_size=1, hidden_layers=1)
    weights = rule.init(key)
    assert all(leaf.shape == () for leaf in weights.values())
    start = tensors(key)
    gradients = [tensors(jax.random.fold_in(key, step), 10.0**-step) for step in range(4)]
    found = run(rule, weights, gradients, start)
    state: Any = reference.init(start)
    expected: Any = start
    for step, gradient in enumerate(gradients):
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers in
            updates, state = reference.update(gradient, state)
        expected = optax.apply_updates(expected, updates)
        for one, other in zip(found[step], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def network(weights, features, iteration):
    """The per-parameter network, on features [count, n], in numpy."""
    mean_square = (features**2).mean(1, keepdims=True)
    features = features / np.sqrt(1e-5 + mean_square)
    time = np.tanh(iteration / np.asarray(HORIZONS) - 1)
    x = np.concatenate([features.T, np.tile(time, (features.shape[1], 1))], axis=1)
    layers = sum(name.startswith("kernel") for name in weights)
    for layer in range(layers):
        x = x @ weights[f"kernel_{layer}"] + weights[f"bias_{layer}"]
        x = np.maximum(x, 0) if layer < layers - 1 else x
    return STEP * x[:, 0] * np.exp(EXP * x[:, 1])


def mlp_reference(weights, gradients, start):
    """One tensor under the rule "mlp", in float64."""
    p, decays = np.asarray(start, np.float64), np.asarray([0.1, 0.5, 0.9, 0.99, 0.999, 0.9999])
    momenta = np.zeros((6, *p.shape))
    for iteration, g in enumerate(np.asarray(gradient, np.float64) for gradient in gradients):
        momenta = np.stack([d * m + (1 - d) * g for d, m in zip(decays, momenta, strict=True)])
        features = np.concatenate([g[None], p[None], momenta]).reshape(8, -1)
        p = p - network(weights, features, iteration).reshape(p.shape)
    return p


def adafactor_reference(weights, gradients, start):
    """One tensor under the rule "adafactor_mlp", with Adafactor as its paper has it."""
    p = np.asarray(start, np.float64)

    def decays(kind, initial):
        return [
            1 - np.exp(10 * (np.log(1 - d) / 10 + offset))
            for d, offset in zip(initial, weights[f"{kind}_decay"], strict=True)
        ]

    momentum_decays = decays("momentum", (0.9, 0.99, 0.999))
    (rms_decay,) = decays("rms", (0.999,))
    factored_decays = decays("factored", (0.9, 0.99, 0.999))
    m, v = np.zeros((3, *p.shape)), np.zeros(p.shape)
    matrix = p.ndim == 2
    rows = np.zeros((3, p.shape[0]) if matrix else (3, *p.shape))  # means over the longer axis
    columns = np.zeros((3, p.shape[1])) if matrix else rows
    for iteration, g in enumerate(np.asarray(gradient, np.float64) for gradient in gradients):
        m = np.stack([d * old + (1 - d) * g for d, old in zip(momentum_decays, m, strict=True)])
        v = rms_decay * v + (1 - rms_decay) * g**2
        square = g**2 + 1e-30

        def update(old, new):
            kept = zip(factored_decays, old, strict=True)
            return np.stack([d * one + (1 - d) * new for d, one in kept])

        root = 1 / np.sqrt(v + 1e-6)
        if matrix:
            rows, columns = update(rows, square.mean(1)), update(columns, square.mean(0))
            row_factor = rows / (rows.mean(1, keepdims=True) + 1e-9)
            factor = 1 / np.sqrt(np.maximum(row_factor, 1e-9))[:, :, None]
            factor = factor / np.sqrt(np.maximum(columns, 1e-9))[:, None, :]
            scaled, scaled_momentum = g * factor, m * factor
            r, c = (np.broadcast_to(x, m.shape) for x in (rows[:, :, None], columns[:, None, :]))
        else:
            rows = columns = update(rows, square)
            scaled = g / np.sqrt(np.maximum(rows + 1e-9, 1e-9))
            scaled_momentum = m / np.sqrt(rows + 1e-6)
            r = c = rows
        features = np.concatenate(
            [g[None], p[None], m, v[None], m * root, root[None], scaled, r, c]
            + [1 / np.sqrt(r + 1e-8), 1 / np.sqrt(c + 1e-8), scaled_momentum]
        )
        assert len(features) == 28
        p = p - network(weights, features.reshape(28, -1), iteration).reshape(p.shape)
    return p


@pytest.mark.parametrize(
    ("name", "reference", "count"),
    [("mlp", mlp_reference, 110), ("adafactor_mlp", adafactor_reference, 197)],
)
def test_networks_against_numpy(name, reference, count, key, strict_dtypes):
    rule = make_rule(name, hidden_size=4, hidden_layers=2)
    weights = rule.init(key)
    sizes = [leaf.size for leaf in jax.tree.leaves(weights)]
    assert sum(sizes) == count
    # Away from zero biases and offsets, so that each of them matters.
    weights = {
        name: leaf + (0.02 if "decay" in name else 0.1) * jax.random.normal(key, leaf.shape)
        for name, leaf in weights.items()
    }
    numbers = {name: np.asarray(leaf, np.float64) for name, leaf in weights.items()}
    gradients = [tensors(jax.random.fold_in(key, step)) for step in range(3)]
    found = quick(lambda start: run(rule, weights, gradients, start))(tensors(key))[-1]
    for index, start in enumerate(tensors(key)):
        expected = reference(
            numbers,
            [np.atleast_1d(gradient[index]) for gradient in gradients],
            np.atleast_1d(start),
        )
        assert np.abs(expected - np.atleast_1d(start)).max() > 1e-3
        np.testing.assert_allclose(found[index], expected.reshape(start.shape), atol=2e-5)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_can_be_trained(name, key):
    """The gradient of what a rule leads to is finite, and reaches all of its weights."""
    rule = make_rule(name, hidden_size=4, hidden_layers=2)
    weights, start = rule.init(key), tensors(key)

    def after(weights):
        def loss(now):
            return sum((x**2).sum() for x in now)

        def step(carry, iteration):
            now, memory = carry
            gradient = jax.grad(loss)(now)
            return rule.update(weights, memory, now, gradient, iteration, STEP, EXP), None

        (now, _), _ = jax.lax.scan(step, (start, rule.start(start)), jnp.arange(3))
        return loss(now)

    gradient = quick(jax.grad(after))(weights)
    for weight, leaf in gradient.items():
        assert jnp.isfinite(leaf).all(), weight
        assert (leaf != 0).any(), weight


def test_factored_axes():
    assert factored_axes((5,)) is None and factored_axes(()) is None
    assert factored_axes((3, 7)) == (0, 1) and factored_axes((7, 3)) == (1, 0)
    assert factored_axes((3, 3, 16, 32)) == (2, 3)
    assert factored_axes((4, 4)) == (0, 1)  # of equals the later counts as the larger
