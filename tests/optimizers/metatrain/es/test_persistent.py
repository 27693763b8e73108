"""Persistent ES: unbiased where truncated ES is not, and its episodes go on exactly."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.metatrain import loop
from velodrome.optimizers.metatrain.checkpoint import save_checkpoint
from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.optimizers.metatrain.es import program
from velodrome.optimizers.metatrain.es.estimator import accumulate, estimate, perturb
from velodrome.optimizers.metatrain.es.tasks import draw_problems, open_task
from velodrome.optimizers.metatrain.es.unroll import Steps, make_unroll, make_window
from velodrome.optimizers.metatrain.trainer import MetaTrainer
from velodrome.taskgen.nn.evolution import unit_noise
from velodrome.taskgen.space.draws import NamedRng

# Influence balancing (Tallec and Ollivier 2017, arXiv 1702.05043; Vicol et al. 2021): the parameter
# pushes 10 states up and 13 down; near ones are felt first, far ones more in the end.
STATES, POSITIVE = 23, 10
WINDOW, WINDOWS = 8, 20
PAIRS, REPEATS, SIGMA = 500, 32, 0.1
THETA = 0.5
# Where the states settle for this parameter: each is the one after it plus or minus 2 theta.
_PUSHES = np.where(np.arange(STATES) < POSITIVE, 2 * THETA, -2 * THETA)
SETTLED = np.cumsum(_PUSHES[::-1])[::-1].astype(np.float32)


def _advance(theta, state):
    """Return the state after a window and the window's mean loss."""
    signs = jnp.where(jnp.arange(STATES) < POSITIVE, 1.0, -1.0).astype(jnp.float32)

    def step(state, _):
        state = 0.5 * state + 0.5 * jnp.append(state[1:], 0.0) + theta * signs
        return state, 0.5 * (state[0] - 1.0) ** 2

    state, losses = jax.lax.scan(step, state, None, length=WINDOW)
    return state, jnp.mean(losses)


def _total(theta):
    state, total = jnp.asarray(SETTLED), jnp.float32(0.0)
    for _ in range(WINDOWS):
        state, loss = _advance(theta, state)
        total += loss
    return total


def _estimates(key):
    """Return the sums over windows of the truncated and of the persistent estimate."""
    theta = {"theta": jnp.asarray(THETA, jnp.float32)}
    options = {"sigma": SIGMA, "shaping": "raw"}

    def window(carry, part):
        states, before, truncated, persistent = carry
        noise = unit_noise(part, theta, PAIRS)
        particles = perturb(theta, noise, {"theta": 1.0}, sigma=SIGMA)["theta"]
        states, losses = jax.vmap(jax.vmap(_advance))(particles, states)
        total = accumulate([before, noise])
        truncated += estimate(losses, noise, **options).gradient["theta"]
        persistent += estimate(losses, total, **options).gradient["theta"]
        return (states, total, truncated, persistent), None

    states = jnp.broadcast_to(jnp.asarray(SETTLED), (PAIRS, 2, STATES))
    zero = jnp.float32(0.0)
    carry = (states, {"theta": jnp.zeros(PAIRS, jnp.float32)}, zero, zero)
    (_, _, truncated, persistent), _ = jax.lax.scan(window, carry, jax.random.split(key, WINDOWS))
    return truncated, persistent


def test_persistent_es_is_unbiased_where_truncated_es_has_the_wrong_sign(key):
    true = float(jax.grad(_total)(jnp.float32(THETA)))
    found = np.asarray(
        jax.jit(lambda keys: jax.lax.map(_estimates, keys))(jax.random.split(key, REPEATS))
    )
    truncated, persistent = found.mean(axis=1)
    errors = found.std(axis=1, ddof=1) / np.sqrt(REPEATS)
    assert abs(persistent - true) < 4 * errors[1]
    assert abs(persistent - true) < 0.5 * abs(true)  # which the noise is small enough to tell
    assert abs(truncated - true) > 20 * errors[0], (truncated, errors[0])
    assert truncated * true < 0


@pytest.fixture
def config(toy_config):
    return dataclasses.replace(
        toy_config,
        phases=(),
        unroll=dataclasses.replace(toy_config.unroll, low=20, high=20),
        estimator=dataclasses.replace(toy_config.estimator, method="pes", window=8),
        record=dataclasses.replace(toy_config.record, validate_every=0),
    )


@pytest.fixture
def momentum(monkeypatch):
    """Inner problems are trained by SGD with momentum, which compiles sooner than VeLO."""

    def make(theta, steps):
        del steps
        rate = 0.001 * jnp.exp(0.1 * jnp.sum(theta.step_size_w))
        return optax.with_extra_args_support(optax.sgd(rate, momentum=0.5))

    program.open_windows.cache_clear()
    monkeypatch.setattr(program, "velo_from_theta", make)
    yield
    program.open_windows.cache_clear()


def test_episodes_are_windows_of_whole_runs_and_resume_exactly(config, tmp_path, momentum):
    trainer = MetaTrainer(config)
    state = trainer.init()
    states, records = [state], []
    for index in range(4):
        state, record = trainer.step(state, index)
        states.append(state)
        records.append(record)
    done = [[row.done for row in state.episodes.values()] for state in states]
    assert done == [[], [8], [16], [], [8]]
    seeds = [len(row.seeds) for state in states for row in state.episodes.values()]
    assert seeds == [1, 2, 1]
    assert [record["inner_steps"] for record in records] == [32, 32, 16, 32]

    path = tmp_path / "checkpoint.npz"
    episodes = {str(at): row.to_json() for at, row in states[2].episodes.items()}
    record = {"config": config.hash, "totals": {"steps": 2}, "episodes": episodes}
    save_checkpoint(path, loop.arrays(states[2]), record)
    other = MetaTrainer(config)
    again, totals = loop.restore(path, other, config)
    assert totals.steps == 2
    save_checkpoint(path, loop.arrays(states[2]), {**record, "tasks_hash": "of an edited family"})
    with pytest.raises(StoreError, match="the code of a family has changed since"):
        loop.restore(path, other, config)
    for index in (2, 3):
        again, record = other.step(again, index)
        assert record == records[index]
    jax.tree.map(np.testing.assert_array_equal, again.outer, states[4].outer)
    jax.tree.map(
        np.testing.assert_array_equal, again.episodes[0].carry, states[4].episodes[0].carry
    )


def _sgd(rate, steps):
    del steps
    return optax.with_extra_args_support(optax.sgd(rate, momentum=0.5))


def test_windows_of_one_optimizer_are_one_unroll(config):
    inner = open_task(MetaTrainer(config).specs[0], vary=())
    problems = draw_problems(inner, NamedRng(1, "windows"), count=1, batches=20)
    problem = jax.tree.map(lambda leaf: leaf[0], problems)
    steps = Steps(inner.task, inner.source.gather, _sgd)
    rate, arrays = jnp.float32(0.1), inner.source.arrays
    carry = steps.start(rate, problem, jnp.int32(20))
    window = jax.jit(make_window(steps))
    means = []
    for begin, end in ((0, 8), (8, 16), (16, 20)):
        carry, loss = window(rate, problem, carry, begin, end, 20, arrays)
        means.append(float(loss) * (end - begin))
    unroll = make_unroll(steps, UnrollConfig(low=20, high=20, tail_fraction=1.0))
    whole = jax.jit(unroll)(rate, problem, 20, arrays)
    assert sum(means) / 20 == pytest.approx(float(whole.objective), rel=1e-4)
