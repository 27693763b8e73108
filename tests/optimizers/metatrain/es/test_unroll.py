"""An unroll is plain training: checked step by step against a loop that anyone can read."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.optimizers.metatrain.config.inner import TasksConfig, UnrollConfig
from velodrome.optimizers.metatrain.es.program import make_particles, repeat_all, repeat_each
from velodrome.optimizers.metatrain.es.tasks import draw_problems, open_task, sample_pool
from velodrome.optimizers.metatrain.es.unroll import Steps, batches_needed, make_unroll
from velodrome.taskgen.space.draws import NamedRng

STEPS = 12


@pytest.fixture(scope="module")
def inner():
    (spec,) = sample_pool(
        TasksConfig(families=("mlp",), max_mflop=0.05), seed=1_000_000, per_family=1
    )
    return open_task(spec, vary=())


def _problems(inner, config):
    batches = batches_needed(config)
    return draw_problems(inner, NamedRng(0, "unroll"), count=2, batches=batches)


def _steps(inner) -> Steps:
    return Steps(inner.task, inner.source.gather, _sgd)


def _sgd(rate, steps):
    del steps
    return optax.with_extra_args_support(optax.sgd(rate))


def _train_plainly(inner, problem, rate):
    """Return the losses of 12 steps and the parameters after them."""
    start, loop = jax.random.split(problem.key)
    params, state = inner.task.init(start)
    losses = []
    for index in range(STEPS):
        batch_key, key = jax.random.split(jax.random.fold_in(loop, index))
        batch = inner.source.gather(
            inner.source.arrays, problem.indices[index], batch_key, augment=True
        )
        (loss, state), grads = jax.value_and_grad(inner.task.loss, has_aux=True)(
            params, state, key, batch, train=True
        )
        losses.append(loss)
        params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
    return losses, params, state, loop


def _first(problems):
    return jax.tree.map(lambda leaf: leaf[0], problems)


def test_tail_is_the_mean_normalised_loss_of_the_last_part(inner):
    config = UnrollConfig(low=1, high=20, tail_fraction=0.25)
    problem = _first(_problems(inner, config))
    unroll = make_unroll(_steps(inner), config)
    found = jax.jit(unroll)(jnp.float32(0.1), problem, STEPS, inner.source.arrays)
    losses, *_ = _train_plainly(inner, problem, 0.1)
    perfect = inner.task.normalize(jnp.float32(0))
    expected = np.mean([inner.task.normalize(loss) - perfect for loss in losses[-3:]])
    np.testing.assert_allclose(found.objective, expected, rtol=1e-4)
    np.testing.assert_allclose(found.last, np.mean(losses[-2:]), rtol=1e-4)


def test_final_is_the_mean_over_fresh_batches_after_the_unroll(inner):
    config = UnrollConfig(low=1, high=20, objective="final", final_batches=3)
    problem = _first(_problems(inner, config))
    unroll = make_unroll(_steps(inner), config)
    found = jax.jit(unroll)(jnp.float32(0.1), problem, STEPS, inner.source.arrays)
    _, params, state, loop = _train_plainly(inner, problem, 0.1)
    losses = []
    for index in range(20, 23):
        batch_key, key = jax.random.split(jax.random.fold_in(loop, index))
        batch = inner.source.gather(
            inner.source.arrays, problem.indices[index], batch_key, augment=True
        )
        loss, _ = inner.task.loss(params, state, key, batch, train=True)
        losses.append(inner.task.normalize(loss) - inner.task.normalize(jnp.float32(0)))
    np.testing.assert_allclose(found.objective, np.mean(losses), rtol=1e-4)


def test_storing_parameters_in_other_units_changes_no_loss_before_the_first_update(inner):
    config = UnrollConfig(low=1, high=4)
    other_units = dataclasses.replace(
        inner.spec, augmentations=({"name": "reparam_weights", "range": 100.0}, "loss_scale")
    )
    found = []
    for some in (inner, open_task(other_units, vary=())):
        problems = _problems(some, config)
        found.append(make_particles(some, config, _sgd)(jnp.full((2,), 0.1), problems, 1))
    assert set(problems.dynamic) == {
        "loss_scale.scale",
        *(f"reparam_weights.{name}" for name in ("level", "range", "seed")),
    }
    assert len(set(np.asarray(problems.dynamic["loss_scale.scale"]))) == 2
    one, other = found
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-4)


def test_particles_are_single_unrolls_and_one_that_diverges_spoils_no_other(inner):
    config = UnrollConfig(low=1, high=STEPS)
    problems = _problems(inner, config)
    run = make_particles(inner, config, _sgd)
    rates = jnp.asarray([0.1, jnp.nan, 0.01], jnp.float32)
    together = run(repeat_each(rates, 2), repeat_all(problems, 3), STEPS)
    single = make_unroll(_steps(inner), config)
    assert np.isnan(together.last.reshape(3, 2)[1]).all()
    for lane, rate in ((0, 0.1), (2, 0.01)):
        alone = single(jnp.float32(rate), _first(problems), STEPS, inner.source.arrays)
        np.testing.assert_allclose(together.last.reshape(3, 2)[lane, 0], alone.last, rtol=1e-4)
