from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx
from small_tasks import logit_gaps, quick, random_batch, small_spec, traced

import velodrome
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.families.networks.rnn import CELLS
from velodrome.taskgen.spec import TaskSpec


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference_step(name, p, state, x):
    """The cells as their papers give them, in numpy."""
    h = state[0]
    if name in ("vanilla", "irnn"):
        inputs = x @ p["input"]["kernel"] + p["input"]["bias"]
        return (np.maximum(inputs + h @ p["hidden"]["kernel"] + p["hidden"]["bias"], 0),)
    if name == "gru":
        w, u, b = p["input"]["kernel"], p["hidden_kernel"], p["input"]["bias"]
        n = h.shape[1]
        part = [slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)]
        z, r = (sigmoid(x @ w[:, s] + h @ u[:, s] + b[s]) for s in part[:2])
        a = np.tanh(x @ w[:, part[2]] + (r * h) @ u[:, part[2]] + b[part[2]])
        return ((1 - z) * h + z * a,)
    gates = np.concatenate([x, h], 1) @ p["kernel"] + p["bias"]
    i, g, f, o = np.split(gates, 4, axis=1)
    c = sigmoid(f + 1) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize("name", ["vanilla", "irnn", "gru", "lstm"])
def test_each_cell_is_the_one_it_names(name, key):
    made = CELLS[name](3, 5, initial=(5,), rngs=nnx.Rngs(key))
    params = jax.tree.map(
        lambda leaf: leaf + 0.1 * jax.random.normal(key, leaf.shape),  # so that no bias is 0
        nnx.to_pure_dict(nnx.split(made)[1]),
    )
    made = nnx.merge(nnx.split(made)[0], params)
    numbers = jax.tree.map(np.asarray, params)
    states = len(numbers["initial"])
    assert states == (2 if name == "lstm" else 1)
    x = jax.random.normal(key, (2, 4, 3))  # two times, batch of four
    state = tuple(jax.random.normal(key, (4, 5)) for _ in range(states))
    projected = made.project(x)
    expected = tuple(np.asarray(one) for one in state)
    for time in range(2):
        state = made.step(state, projected[time])
        expected = reference_step(name, numbers, expected, np.asarray(x[time]))
    for found, wanted in zip(state, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_irnn_starts_at_the_identity(key):
    made = CELLS["irnn"](3, 5, initial=(5,), rngs=nnx.Rngs(key))
    np.testing.assert_array_equal(made.hidden.kernel[...], np.eye(5))


# Published parameter counts of the fixed tasks RNNLM_* of google/learned_optimization.
@pytest.mark.parametrize(
    ("name", "units", "embed", "vocab", "params"),
    [
        ("irnn", 256, 128, 32_100, 12_457_572),
        ("lstm", 256, 128, 32_100, 12_753_252),
        ("lstm", 128, 64, 259, 149_059),
        ("gru", 128, 64, 259, 124_227),
        ("gru", 256, 128, 259, 395_651),
        ("vanilla", 128, 64, 259, 74_947),
    ],
)
def test_published_parameter_counts(name, units, embed, vocab, params):
    config = {"cell": name, "rnn_size": units, "embed_size": embed, "vocab_size": vocab}
    assert velodrome.cost(TaskSpec("rnn", config, DataSpec("lm1b_32k"), 128)).params == params


@pytest.mark.parametrize("name", ["vanilla", "irnn", "gru", "lstm"])
def test_closed_form_of_every_cell(name):
    spec = small_spec("rnn", cell=name)
    assert velodrome.cost(spec).params == traced(spec).params
    assert velodrome.cost(spec).flops == pytest.approx(traced(spec).flops, rel=0.1)


def test_a_prediction_depends_on_the_past_alone(key):
    task = velodrome.build(small_spec("rnn", cell="lstm", init_scale=30.0))  # so that tokens matter
    params, state = quick(task.init)(key)
    obs = random_batch(task.spec, key)["obs"]
    gaps = quick(lambda obs: logit_gaps(task, params, state, obs))
    before, after = gaps(obs), gaps(obs.at[:, 3].set(obs[:, 3] % 19 + 2))
    np.testing.assert_allclose(before[:3], after[:3], atol=5e-5)
    assert (abs(before[3:] - after[3:]) > 2e-4).all()
