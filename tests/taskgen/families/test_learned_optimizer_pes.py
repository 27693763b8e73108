from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import quick, random_batch, small_spec

import velodrome
from velodrome.taskgen.families.learned_optimizer.config import LearnedOptimizerPESConfig


def build(**changes):
    """Return a task that is quick to compile, and a batch of it."""
    config = {"rule": "sgdm", "num_layers": 0, **changes}
    spec = small_spec("learned_optimizer_pes", **config)
    return velodrome.build(spec), random_batch(spec, jax.random.key(7))


def training(task, batch):
    """Return ``step(weights, state, key)``, compiled."""
    return quick(lambda weights, state, key: task.loss(weights, state, key, batch, train=True))


def test_problems_start_spread_and_start_again_in_turn(key):
    """Steps are counted; the step after the last of a problem starts the next."""
    task, batch = build()
    config = task.spec.config
    init = quick(task.init)
    weights, state = init(key)
    many = quick(jax.vmap(lambda k: task.init(k)[1]["counter"]))(jax.random.split(key, 200))
    shares = np.bincount(np.asarray(many).ravel(), minlength=6) / many.size
    np.testing.assert_allclose(shares, 1 / config.problem_length, atol=0.06)
    step = training(task, batch)
    counters = np.asarray(state["counter"])
    iterations = np.zeros_like(counters)
    for index in range(4):
        _, state = step(weights, state, jax.random.fold_in(key, index))
        for _ in range(config.unroll_length):
            over = counters >= config.problem_length
            counters = np.where(over, 0, counters + 1)
            iterations = np.where(over, 0, iterations + 1)
        np.testing.assert_array_equal(state["counter"], counters)
        for side in range(2):
            np.testing.assert_array_equal(state["carries"]["iteration"][:, side], iterations)


def test_perturbations_add_up_until_a_new_start(key):
    """Both members of a pair start alike, and part as they are trained by different rules."""
    task, batch = build(problem_length=8, problems=3)
    weights, state = quick(task.init)(key)
    step, second_key = training(task, batch), jax.random.fold_in(key, 1)
    state["counter"] = jnp.asarray([0, 5, 4])
    for leaf in jax.tree.leaves(state["carries"]):
        np.testing.assert_array_equal(leaf[:, 0], leaf[:, 1])
    _, once = step(weights, state, key)
    biases = once["carries"]["params"]["output"]["bias"]
    assert (biases[0, 0] != biases[0, 1]).any()
    _, twice = step(weights, once, second_key)
    _, fresh = step(weights, state, second_key)
    np.testing.assert_array_equal(once["counter"], [4, 0, 8])
    np.testing.assert_array_equal(twice["counter"], [8, 4, 3])
    np.testing.assert_array_equal(fresh["counter"], [4, 0, 8])
    for name in weights:
        noise, sums, newest = (
            np.asarray(one["perturbations"][name]) for one in (once, twice, fresh)
        )
        # The first goes on.
        np.testing.assert_allclose(sums[0], noise[0] + newest[0], rtol=1e-5)
        # The second began again with the last step of the first truncation: what had perturbed
        # the rule until then is forgotten.
        assert noise[1] == newest[1] == 0 != sums[1]
        # The third begins again with the first step of the second truncation.
        assert noise[2] != 0 != sums[2] and sums[2] == newest[2]


# By steps that the problem of 5 has made: which part of the gradient is due to the earlier
# perturbations ("all" of it, "none", or "some"), and what the sum of perturbations becomes.
@pytest.mark.parametrize(
    ("counter", "credit", "due", "after"),
    [
        (0, "exact", "all", "both"),  # the problem goes on
        (0, "published", "all", "both"),
        (1, "exact", "all", "both"),  # ends with the truncation
        (1, "published", "some", "newest"),
        (2, "exact", "all", "neither"),  # and starts again in the last step, which has no loss
        (2, "published", "some", "newest"),
        (4, "exact", "some", "newest"),  # ends in the first step
        (4, "published", "none", "newest"),
        (5, "exact", "none", "newest"),  # starts again in the first step
        (5, "published", "all", "both"),
    ],
)
def test_what_losses_are_credited_to(counter, credit, due, after):
    """A gradient is a sum of differences of losses times perturbations: it grows with the earlier
    ones by the losses that are credited to them.
    """
    (gradient, noise), (grown, total) = (differentiated(credit, counter, x) for x in (0.0, 3.0))
    if after == "neither":
        assert noise == 0
        noise = differentiated("exact", 0, 0.0)[1]
    share = (grown - gradient) / (gradient * 3.0 / noise)
    if due == "some":
        assert abs(share) > 0.01 and abs(share - 1) > 0.01
    else:
        assert share == pytest.approx({"all": 1.0, "none": 0.0}[due], abs=1e-3)
    expected = {"both": 3.0 + noise, "newest": noise, "neither": 0.0}
    assert total == pytest.approx(expected[after], rel=1e-5)


@functools.cache
def differentiable(credit):
    config = {"rule": "sgd", "problems": 1, "problem_length": 5, "std": 0.1}
    task, batch = build(**config, unroll_length=4, credit=credit)
    weights, state = quick(task.init)(jax.random.key(0))

    @quick
    def step(state):
        _, pull, state = jax.vjp(
            lambda weights: task.loss(weights, state, jax.random.key(1), batch, train=True),
            weights,
            has_aux=True,
        )
        return pull(1.0)[0]["log_rate"], state

    # Both copies stand apart, so that the first loss of the next truncation differs too.
    return step, step({**state, "counter": jnp.asarray([0])})[1]


def differentiated(credit, counter, earlier):
    """Return the gradient of the rate, and the sum of perturbations after it."""
    step, state = differentiable(credit)
    sums = {"log_rate": jnp.asarray([earlier])}
    gradient, after = step({**state, "counter": jnp.asarray([counter]), "perturbations": sums})
    return float(gradient), float(after["perturbations"]["log_rate"][0])


def test_the_step_that_starts_again_gives_no_loss(key):
    task, batch = build(problems=1, problem_length=50)
    weights, state = quick(task.init)(key)
    step = training(task, batch)
    state["counter"] = jnp.asarray([50])  # the very next step starts again
    output = state["carries"]["params"]["output"]
    values = []
    for abandoned in (0.0, 1e3, jnp.nan):  # if the abandoned problem counted, this would show
        output["bias"] = jnp.full_like(output["bias"], abandoned)
        value, after = step(weights, state, key)
        values.append(float(value))
        assert after["carries"]["iteration"].tolist() == [[3, 3]]
    assert values[0] == values[1] == values[2] == pytest.approx(np.log(10), abs=0.9)


def test_evaluation_forgets(key):
    task, batch = build()
    weights, state = quick(task.init)(key)

    @quick
    def evaluate(weights, state):
        value, after = task.loss(weights, state, key, batch, train=False)
        return value, after, task.metrics(weights, state, key, batch)["loss"]

    value, after, (total, count) = evaluate(weights, state)
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)
    assert total / count == value
    assert training(task, batch)(weights, state, key)[0] == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize(
    ("length", "unroll", "expected"), [(50, 5, 1), (5, 5, 1), (3, 4, 1), (3, 5, 2), (1, 7, 4)]
)
def test_restarts(length, unroll, expected):
    config = LearnedOptimizerPESConfig(problem_length=length, unroll_length=unroll)
    assert config.restarts == expected
    # Counted: the most new starts from any point of a problem.
    found = 0
    for counter in range(length + 1):
        starts = 0
        for _ in range(unroll):
            over = counter >= length
            starts += over
            counter = 0 if over else counter + 1
        found = max(found, starts)
    assert found == expected


@pytest.mark.long
def test_the_estimate_has_no_truncation_bias(key):
    """The gradient over a whole problem is that of its unroll, though it is got in pieces.

    For the rate of gradient descent; every problem starts at its first step, so that two
    truncations are the whole of it. A plain truncated estimate misses what the rate in the first
    truncation does to the losses of the second.
    """
    std, rate = 0.1, jnp.log(jnp.float32(0.2))
    shared = {"rule": "sgd", "problems": 400, "inner_batch_size": 4}
    task, batch = build(**shared, problem_length=8, unroll_length=4, std=std)
    _, state = jax.jit(task.init)(key)
    state["counter"] = jnp.zeros_like(state["counter"])
    weights, step = {"log_rate": rate}, jax.grad(task.loss, has_aux=True)

    @jax.jit
    def both(key):
        keys = jax.random.split(key)
        first, middle = step(weights, state, keys[0], batch, train=True)
        second, _ = step(weights, middle, keys[1], batch, train=True)
        # Without the sums, as plain evolution strategies would have it.
        forgotten = jax.tree.map(jnp.zeros_like, middle["perturbations"])
        plain, _ = step(weights, {**middle, "perturbations": forgotten}, keys[1], batch, train=True)
        return [(first["log_rate"] + other["log_rate"]) / 2 for other in (second, plain)]

    whole = small_spec("learned_optimizer", **shared, num_layers=0, unroll_length=8)
    unrolled = jax.grad(velodrome.build(whole).loss, has_aux=True)

    @jax.jit
    def smoothed(key):
        """The gradient of the unroll's loss, smoothed as the estimate is: by quadrature."""
        spread = std * jnp.sqrt(3.0)
        at = [
            unrolled({"log_rate": rate + shift}, {}, key, batch, train=True)[0]["log_rate"]
            for shift in (-spread, 0.0, spread)
        ]
        return (at[0] + 4 * at[1] + at[2]) / 6

    keys = jax.random.split(key, 12)
    persistent, plain = np.asarray(jax.lax.map(both, keys), np.float64)
    true = np.asarray(jax.lax.map(smoothed, keys), np.float64)
    error = np.hypot(persistent.std(), true.std()) / np.sqrt(len(keys))
    assert abs(persistent.mean() - true.mean()) < 4 * error
    assert abs(plain.mean() - true.mean()) > 10 * error  # what forgetting costs


def test_training_finds_a_better_rate(key):
    task, batch = build(rule="sgd", problem_length=20, unroll_length=5, problems=8, std=0.1)
    weights, state = quick(task.init)(key)
    adam = optax.adam(0.1)

    @quick
    def train(weights, state):
        def step(carry, key):
            weights, state, memory = carry
            (loss, state), gradient = jax.value_and_grad(task.loss, has_aux=True)(
                weights, state, key, batch, train=True
            )
            updates, memory = adam.update(gradient, memory)
            return (optax.apply_updates(weights, updates), state, memory), loss

        keys = jax.random.split(key, 80)
        return jax.lax.scan(step, (weights, state, adam.init(weights)), keys)

    (after, _, _), losses = train(weights, state)
    assert losses[-20:].mean() < losses[:10].mean() - 0.2
    assert after["log_rate"] > weights["log_rate"] + 1
