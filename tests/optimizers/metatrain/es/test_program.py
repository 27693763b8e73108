"""One program for a static config, whatever varies; and all local devices share its particles."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import optax
import pytest

from velodrome.optimizers.metatrain.es import program
from velodrome.optimizers.metatrain.es.program import (
    make_particles,
    open_program,
    repeat_each,
    spread,
)
from velodrome.optimizers.metatrain.es.tasks import draw_problems
from velodrome.optimizers.metatrain.es.unroll import Outcome
from velodrome.optimizers.metatrain.log import Events
from velodrome.optimizers.metatrain.trainer import MetaTrainer
from velodrome.taskgen.space.draws import NamedRng


def test_one_program_serves_all_problems_lengths_and_phases(toy_config, monkeypatch):
    """Each trace is one compilation; dynamic fields, scales and lengths differ between steps."""
    traced: list[str] = []

    def cheap(pieces, unroll):
        def run(weights, problem, steps, arrays):
            traced.append(str(sorted(problem.dynamic)))
            inner = pieces.start(weights, problem, steps)
            loss = pieces.batch_loss(inner, problem, steps - 1, arrays)
            return Outcome(loss, loss)

        return run

    monkeypatch.setattr(program, "make_unroll", cheap)
    program.open_program.cache_clear()
    config = dataclasses.replace(
        toy_config,
        tasks=dataclasses.replace(
            toy_config.tasks, per_family=2, vary=("init_scale", "activation")
        ),
    )
    trainer = MetaTrainer(config)
    state = trainer.init()
    losses = []
    for index in range(6):
        state, record = trainer.step(state, index)
        losses += [row["loss"] for row in record["tasks"]]
    program.open_program.cache_clear()
    assert len(set(losses)) == 6
    assert len(traced) == 2
    assert all("init_scale" in names and "reparam_weights.seed" in names for names in traced)


def test_particles_are_spread_over_the_local_devices(toy_config):
    assert len(jax.local_devices()) == 2  # of the CPU, see tests/conftest.py
    spec = MetaTrainer(toy_config).specs[0]
    inner, _ = open_program(spec, (), toy_config.unroll)
    problems = repeat_each(draw_problems(inner, NamedRng(0, "devices"), count=1, batches=20), 2)

    def make_sgd(rate, steps):
        del steps
        return optax.with_extra_args_support(optax.sgd(rate))

    rates = np.asarray([0.1, 0.2], np.float32)
    run = make_particles(inner, toy_config.unroll, make_sgd)
    both = run(rates, problems, 10)
    assert len(both.objective.sharding.device_set) == 2
    first = jax.tree.map(lambda leaf: leaf[:1], problems)
    alone = run(rates[:1], first, 10)
    assert len(alone.objective.sharding.device_set) == 1
    assert alone.objective[0] == pytest.approx(float(both.objective[0]), rel=1e-5)
    assert spread(rates[:1]) is not None


def test_events_are_written(tmp_path):
    pytest.importorskip("tensorboardX", reason="the optional extra 'tensorboard' is not installed")
    events = Events(tmp_path, first_step=0)
    rows = [{"family": "mlp", "loss": 2.0}, {"family": "mlp", "loss": None}]
    events.step({"step": 0, "tasks": rows, "dropped": 1, "inner_steps": 5})
    events.validation(1, {"log_ratio": -0.1, "tasks": [{"task": "a", "log_ratio": None}]})
    events.close()
    (file,) = (tmp_path / "events").iterdir()
    content = file.read_bytes()
    for tag in (b"meta-loss/mlp", b"step/dropped", b"validation/mean"):
        assert tag in content
    assert b"validation/a" not in content
