from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import logit_gaps, quick, random_batch, small_spec

import velodrome
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec


# Published parameter counts of the fixed tasks TransformerLM_* of google/learned_optimization.
@pytest.mark.parametrize(
    ("width", "heads", "layers", "params"),
    [
        (24, 6, 1, 1_596_804),
        (256, 4, 3, 18_442_724),
        (304, 19, 2, 22_516_548),
        (128, 8, 5, 9_570_916),
    ],
)
def test_published_parameter_counts(width, heads, layers, params):
    config = {
        "d_model_per_head": width // heads,
        "num_heads": heads,
        "num_layers": layers,
        "vocab_size": 32_100,
    }
    assert velodrome.cost(TaskSpec("transformer", config, DataSpec("lm1b_32k"), 8)).params == params


@pytest.fixture
def ready(key):
    task = velodrome.build(small_spec("transformer", num_layers=2))
    params, state = quick(task.init)(key)
    gaps = quick(lambda obs: logit_gaps(task, params, state, obs))
    return task, params, state, random_batch(task.spec, key)["obs"], gaps


def test_attention_looks_back_and_not_ahead(ready):
    _, _, _, obs, gaps = ready
    before, after = gaps(obs), gaps(obs.at[:, 3].set(obs[:, 3] % 19 + 2))
    np.testing.assert_allclose(before[:3], after[:3], atol=5e-5)
    assert (abs(before[3:] - after[3:]) > 2e-4).all()


def test_padding_is_not_attended_to(ready):
    task, params, state, obs, gaps = ready
    padded = obs.at[:, 1].set(0)
    changed = {**params, "embedding": params["embedding"].at[0].add(1.0)}
    other = quick(lambda obs: logit_gaps(task, changed, state, obs))(padded)
    np.testing.assert_allclose(gaps(padded)[2:], other[2:], atol=5e-5)
    assert np.isfinite(gaps(obs.at[:, 0].set(0))).all()  # at first there is nothing to attend to


def test_dropout_acts_in_training_only(ready, key):
    task, params, state, obs, _ = ready
    batch = {"obs": obs, "target": obs}
    other = jax.random.fold_in(key, 1)

    def loss(key, train, **dynamic):
        found = task.loss(params, state, key, batch, train=train, dynamic=dynamic or None)
        return float(found[0])

    assert loss(key, False) == loss(other, False)
    assert loss(key, True) != loss(other, True) != loss(key, False)
    assert loss(key, True, dropout=0.0) == loss(key, False)
    # A traced rate of zero draws masks of ones.
    assert loss(key, True, dropout=jnp.float32(0)) == pytest.approx(loss(key, False), rel=1e-6)


def test_block_kernels_have_the_published_variance(key):
    config = {"d_model_per_head": 16, "num_heads": 8, "num_layers": 2}
    task = velodrome.build(TaskSpec("transformer", config, DataSpec("kjv"), 4))
    params, _ = quick(task.init)(key)
    kernel = params["block_1"]["mlp_in"]["kernel"]
    assert float(kernel.std()) == pytest.approx((2 / 2 / 128) ** 0.5, rel=0.03)
    assert float(params["embedding"].std()) == pytest.approx(0.8796, rel=0.03)
    assert float(params["output"]["kernel"].std()) == pytest.approx(0.8796 / 128**0.5, rel=0.03)
