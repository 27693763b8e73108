from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import quick, random_batch, small_spec

import velodrome
from velodrome.contracts.task import check_cost, prepare
from velodrome.taskgen.families.learned_optimizer.config import RULES, inner_config
from velodrome.taskgen.families.learned_optimizer.inner import deal
from velodrome.taskgen.spec import TaskSpec


def examples(batch, rows):
    return jax.tree.map(lambda leaf: leaf[np.asarray(rows) % 4], batch)


def gradient_of(task, params, state, key, batch):
    return jax.value_and_grad(task.loss, has_aux=True)(params, state, key, batch, train=True)


def build(**changes):
    """Return a task that is quick to compile, and its batch."""
    config = {"rule": "sgd", "num_layers": 0, **changes}
    spec = small_spec("learned_optimizer", **config)
    return velodrome.build(spec), random_batch(spec, jax.random.key(7))


def test_batches_are_dealt_in_order_and_again():
    batch = {"image": jnp.arange(5.0)[:, None], "label": jnp.arange(5)}
    dealt = deal(batch, jnp.asarray([[0, 4], [5, 11]]))
    np.testing.assert_array_equal(dealt["label"], [[0, 4], [0, 1]])
    assert dealt["image"].shape == (2, 2, 1)


def test_the_loss_is_that_of_an_unroll(key):
    """Rewritten with optax: the mean of the losses before each update, from a fresh start."""
    task, batch = build(rule="adam")
    config = task.spec.config
    spec = TaskSpec(config.inner, inner_config(config), task.spec.data, config.inner_batch_size)
    inner = velodrome.build(spec)
    weights, state = quick(task.init)(key)
    found, after = quick(lambda w: task.loss(w, state, key, batch, train=True))(weights)
    assert after == {}
    start_key, _ = jax.random.split(jax.random.split(key, 1)[0])
    params, inner_state = inner.init(start_key)
    gradient_at = quick(lambda params, part: gradient_of(inner, params, inner_state, key, part))
    adam = optax.adam(1e-3, eps_root=1e-8)
    memory, losses = adam.init(params), []
    for step in range(4):
        rows = 3 * step + np.arange(3)
        (loss, _), gradient = gradient_at(params, examples(batch, rows))
        updates, memory = adam.update(gradient, memory, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_problems_are_averaged_and_differ(key):
    task, batch = build(problems=3)
    alone, _ = build()
    weights, state = quick(task.init)(key)

    def both(key):
        together = task.loss(weights, state, key, batch, train=True)[0]
        firsts = 12 * jnp.arange(3)
        singles = jax.vmap(
            lambda key, first: alone.loss(
                weights, state, key, deal(batch, first + jnp.arange(12)), train=True
            )[0]
        )(jax.random.split(key, 3), firsts)
        return together, singles

    together, singles = quick(jax.vmap(both))(jax.random.split(key, 200))
    assert len(np.unique(singles)) == singles.size  # every evaluation starts again
    # A single problem splits its key once more, so that only the distributions are the same.
    error = np.sqrt(together.var() / 200 + singles.var() / 600)
    assert abs(together.mean() - singles.mean()) < 4.5 * error
    assert together.std() < 0.8 * singles.std()


def test_the_gradient_is_that_of_the_unroll(key):
    """Against differences, for the weight that every step is multiplied with."""
    task, batch = build(num_layers=1, activation="tanh")

    @quick
    def both(rate):
        return jax.value_and_grad(
            lambda rate: task.loss({"log_rate": rate}, {}, key, batch, train=True)[0]
        )(rate)

    rate, step = np.log(0.1), 0.05
    (_, slope), (above, _), (below, _) = (both(jnp.float32(rate + d)) for d in (0, step, -step))
    assert float(slope) == pytest.approx(float(above - below) / (2 * step), rel=0.02)
    assert abs(slope) > 1e-3


def test_the_estimated_gradient_points_along_the_true_one(key):
    true_task, batch = build(rule="sgdm")
    task, _ = build(rule="sgdm", es_pairs=256, es_std=0.01)
    weights, state = quick(task.init)(key)
    weights["log_rate"] += 2.0
    results = [
        quick(lambda one=one: gradient_of(one, weights, state, key, batch))()
        for one in (true_task, task)
    ]
    losses = [float(loss) for (loss, _), _ in results]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    true, found = (np.stack(jax.tree.leaves(gradient)) for _, gradient in results)
    size = np.linalg.norm(true)
    # The variance of a component from one pair is |g|^2 + g_i^2.
    error = np.sqrt((size**2 + true**2) / 256)
    assert (np.abs(found - true) < 4.5 * error).all()
    assert found @ true / np.linalg.norm(found) / size > 0.95


def test_evaluation_is_an_unroll_on_its_own_examples(key):
    """Evaluate any number of examples, also fewer than an unroll needs."""
    task, batch = build(rule="adafactor_mlp")
    weights, state = quick(task.init)(key)
    few = jax.tree.map(lambda leaf: leaf[:2], batch)

    @quick
    def both(weights):
        value = task.loss(weights, state, key, few, train=False)[0]
        return value, task.metrics(weights, state, key, few)["loss"]

    value, (total, count) = both(weights)
    assert count == 1 and jnp.isfinite(total)
    assert total == value


def test_losses_stay_finite_when_the_inner_problem_explodes(key):
    task, batch = build(unroll_length=12)
    value, _ = task.loss({"log_rate": jnp.float32(60.0)}, {}, key, batch, train=True)
    worst = 1.5 * np.log(10)
    assert 0.5 * worst < value <= worst


def test_training_finds_a_better_rate(key):
    """Gradient descent whose rate starts at 0.01 and has 20 steps wants a higher one."""
    task, batch = build(unroll_length=20)
    weights, state = quick(task.init)(key)
    adam = optax.adam(0.1)

    @quick
    def train(weights):
        def step(carry, key):
            weights, memory = carry
            (loss, _), gradient = gradient_of(task, weights, state, key, batch)
            updates, memory = adam.update(gradient, memory)
            return (optax.apply_updates(weights, updates), memory), loss

        keys = jax.random.split(key, 40)
        return jax.lax.scan(step, (weights, adam.init(weights)), keys)

    (after, _), losses = train(weights)
    assert losses[-5:].mean() < losses[:5].mean() - 0.2
    assert after["log_rate"] > weights["log_rate"] + 1


@pytest.mark.parametrize("family", ["es_wrapped", "learned_optimizer", "learned_optimizer_pes"])
def test_closed_forms_of_sampled_tasks(family):
    """FLOPs within 10% of the traced program, parameters exactly."""
    for spec in velodrome.sample(2, seed=11, family=family):
        check_cost(prepare(spec))


@pytest.mark.parametrize("rule", RULES)
def test_closed_forms_of_rules(rule):
    """Where the inner task is small, so that the rule is most of the cost."""
    check_cost(prepare(small_spec("learned_optimizer", rule=rule, inner="cnn")))
    check_cost(prepare(small_spec("learned_optimizer_pes", rule=rule, inner_batch_size=1)))
