"""Whole runs at toy size: what they leave behind, and that interruptions change nothing."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.foundation.errors import SpecError, StoreError, UnknownNameError
from velodrome.optimizers.metatrain import loop
from velodrome.optimizers.metatrain.config.config import MetaTrainConfig
from velodrome.optimizers.metatrain.directory import CHECKPOINT, LOG
from velodrome.optimizers.metatrain.es import program
from velodrome.optimizers.metatrain.es.unroll import Outcome
from velodrome.optimizers.metatrain.loop import metatrain
from velodrome.optimizers.metatrain.trainer import MetaTrainer
from velodrome.optimizers.metatrain.validation import Baseline, Validator
from velodrome.optimizers.velo.weights.store import load_weights


def _quiet(line: str) -> None:
    del line


def _steps(directory) -> list[dict]:
    lines = (directory / LOG).read_text().splitlines()
    records = [record for record in map(json.loads, lines) if "step" in record]
    for record in records:
        del record["seconds"]
    return records


def _terminate_in(step: int):
    """Send SIGTERM once the step is done: the run ends before the next one."""

    def report(line: str) -> None:
        if line.split()[:2] in (["measuring", "Adam"], ["stopping", "when"]):
            return
        if line.split()[0] == str(step) and "validation" not in line:
            signal.raise_signal(signal.SIGTERM)

    return report


@pytest.fixture(params=["made up", pytest.param("trained", marks=pytest.mark.long)])
def inner_problems(request, monkeypatch):
    """Inner problems whose losses are made up from the weights, or real ones, which take long."""

    def made_up(pieces, unroll):
        del pieces

        def run(weights, problem, steps, arrays):
            del arrays
            size = sum(jnp.mean(jnp.abs(leaf)) for leaf in jax.tree.leaves(weights))
            loss = 2.0 + jnp.sin(1e4 * size) + 1e-4 * jnp.mean(problem.indices) + 1e-3 * steps
            return Outcome(loss, loss)

        return run

    if request.param == "made up":
        monkeypatch.setattr(program, "make_unroll", made_up)
        program.open_program.cache_clear()
    yield request.param
    program.open_program.cache_clear()


@pytest.mark.parametrize("seconds", [float("nan"), -1.0])
def test_a_limit_of_time_that_is_none_is_refused_before_anything_is_made(
    toy_config, tmp_path, seconds
):
    with pytest.raises(SpecError, match=f"max_seconds: got {seconds}, but it must be a number"):
        metatrain(toy_config, tmp_path / "out", max_seconds=seconds)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_interrupted_gives_the_same_numbers(toy_config, tmp_path, inner_problems):
    whole = metatrain(toy_config, tmp_path / "whole", report=_quiet)
    assert whole.finished
    assert whole.totals.steps == 4
    assert whole.totals.pairs == 8

    parts = tmp_path / "parts"
    result = metatrain(toy_config, parts, report=_quiet, max_seconds=0.0)
    assert not result.finished and result.totals.steps == 0
    assert not (parts / "baseline.json").exists()  # Adam was not measured either
    with pytest.raises(StoreError, match="weights, but no checkpoint"):
        metatrain(toy_config, _weights_alone(parts), report=_quiet)
    with pytest.raises(KeyboardInterrupt):
        metatrain(toy_config, parts, report=_terminate_in(1))
    card = json.loads((parts / "weights.json").read_text())
    metatrain(toy_config, parts, report=_quiet, max_seconds=0.0)
    again = json.loads((parts / "weights.json").read_text())
    assert again["results"] == card["results"]
    assert card["results"]["validation"]["tasks"]
    # As a kill would leave it: a record that no checkpoint has, and half of another.
    with (parts / LOG).open("a") as log:
        log.write('{"step": 2, "loss": 0.0, "seconds": 1}\n{"step": 3, "lo')
    lines: list[str] = []
    resumed = metatrain(toy_config, parts, report=lines.append)

    assert lines[0] == "resuming at outer step 2"
    assert _steps(parts) == _steps(tmp_path / "whole")
    jax.tree.map(np.testing.assert_array_equal, resumed.weights, whole.weights)
    assert resumed.totals.inner_steps == whole.totals.inner_steps

    saved = load_weights(str(resumed.path))
    jax.tree.map(np.testing.assert_array_equal, saved, whole.weights)
    card = json.loads(resumed.path.with_suffix(".json").read_text())
    assert card["training"]["compute"]["outer_steps"] == 4
    assert card["training"]["compute"]["workers"] == 0
    assert MetaTrainConfig.from_json(card["training"]["config"]) == toy_config
    first = _check_validation(parts)
    # The hand-made start trains: it is no worse than 1.5 times the best of fifteen rates.
    assert inner_problems == "made up" or first["loss"] < 1.5 * first["adam"]

    other = dataclasses.replace(toy_config, seed=6)
    with pytest.raises(StoreError, match="another config"):
        metatrain(other, parts, report=_quiet)
    # A finished run has nothing to do, and one that was stopped in its last step one validation.
    lines.clear()
    assert metatrain(toy_config, parts, report=lines.append).finished
    assert lines == ["resuming at outer step 4"]
    _drop_last_line(parts / LOG)
    assert not metatrain(toy_config, parts, report=_quiet, max_seconds=0.0).finished
    with pytest.raises(KeyboardInterrupt):
        metatrain(toy_config, parts, report=_terminate_at_once)
    baseline = (parts / "baseline.json").read_text()
    (parts / "baseline.json").unlink()  # Adam would have to be measured first
    assert not metatrain(toy_config, parts, report=_quiet, max_seconds=0.0).finished
    (parts / "baseline.json").write_text(baseline)
    assert metatrain(toy_config, parts, report=_quiet).finished
    _check_validation(parts)


def test_a_log_without_a_checkpoint_is_not_emptied_by_another_config(toy_config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(toy_config.to_json()))
    (tmp_path / LOG).write_text('{"step": 0}\n')
    other = dataclasses.replace(toy_config, seed=6)
    with pytest.raises(StoreError, match="log of a run with another config"):
        metatrain(other, tmp_path, report=_quiet)
    assert (tmp_path / LOG).read_text()


def _weights_alone(directory: Path) -> Path:
    alone = directory.with_name("alone")
    alone.mkdir()
    shutil.copy(directory / "weights.safetensors", alone)
    return alone


def _drop_last_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _terminate_at_once(line: str) -> None:
    if line.startswith("resuming"):
        signal.raise_signal(signal.SIGTERM)


def _check_validation(directory) -> dict:
    lines = map(json.loads, (directory / LOG).read_text().splitlines())
    validations = [line for line in lines if "validation" in line]
    assert [line["validation"] for line in validations] == [0, 4]
    (baseline,) = json.loads((directory / "baseline.json").read_text())["adam"]
    for line in validations:
        (row,) = line["tasks"]
        assert row["adam"] == baseline["loss"]
        assert row["log_ratio"] == pytest.approx(np.log(row["loss"] / row["adam"]))
        assert line["won"] == int(row["loss"] < row["adam"])
        assert line["diverged"] == 0
    return validations[0]["tasks"][0]


def test_every_round_visits_every_task_once_with_families_in_turn(toy_config):
    tasks = dataclasses.replace(
        toy_config.tasks, families=("mlp", "cnn"), per_family=3, max_mflop=1.0
    )
    trainer = MetaTrainer(dataclasses.replace(toy_config, tasks=tasks))
    visits = [trainer.task_position(turn) for turn in range(12)]
    assert sorted(visits[:6]) == sorted(visits[6:]) == list(range(6))
    assert [trainer.specs[visit].family for visit in visits] == ["mlp", "cnn"] * 6
    assert visits[:6] != visits[6:]


def test_a_mixture_draws_families_with_its_weights(toy_config):
    tasks = dataclasses.replace(
        toy_config.tasks,
        families=("mlp", "cnn"),
        per_family=3,
        max_mflop=1.0,
        mixture={"mlp": 1.0, "cnn": 3.0},
    )
    trainer = MetaTrainer(dataclasses.replace(toy_config, tasks=tasks))
    visits = [trainer.task_position(turn) for turn in range(400)]
    share = sum(trainer.specs[visit].family == "cnn" for visit in visits) / 400
    assert abs(share - 0.75) < 0.09  # four standard deviations
    assert set(visits) == set(range(6))


def test_a_data_set_that_does_not_exist_cannot_be_left_out(toy_config):
    tasks = dataclasses.replace(toy_config.tasks, exclude_data=("photos", "digitz"))
    with pytest.raises(UnknownNameError, match="exclude_data.*'digits'"):
        MetaTrainer(dataclasses.replace(toy_config, tasks=tasks))


def test_a_checkpoint_is_whole_or_absent(toy_config, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(StoreError, match="damaged"):
        metatrain(toy_config, tmp_path, report=_quiet)


def test_adam_is_measured_again_exactly_when_its_results_would_differ(
    toy_config, tmp_path, monkeypatch
):
    measured = []

    def baseline(validator: Validator, at: int) -> Baseline:
        measured.append(validator.steps)
        return Baseline(validator.tasks[at].spec.label, 0.01, float(len(measured)))

    monkeypatch.setattr(Validator, "baseline", baseline)

    def validate(section: str, **changes) -> int:
        changed = dataclasses.replace(getattr(toy_config, section), **changes)
        config = dataclasses.replace(toy_config, **{section: changed})
        before = len(measured)
        assert loop._validation(config, tmp_path, lambda: False, _quiet) is not None
        return len(measured) - before

    assert validate("record") == 1
    assert validate("record") == 0
    assert validate("record", validate_every=2, checkpoint_seconds=1.0) == 0
    assert validate("estimator", sigma=0.5) == 0
    assert validate("record", validation_steps=30) == 1
    assert validate("record", validation_seeds=3) == 1
    assert validate("tasks", validation_seed=1_000_007) == 1
    assert validate("tasks", validation_per_family=2) == 2
    assert validate("tasks", validation_per_family=2) == 0
    kept = json.loads((tmp_path / "baseline.json").read_text())
    (tmp_path / "baseline.json").write_text(json.dumps({**kept, "adam": kept["adam"][:1]}))
    assert validate("tasks", validation_per_family=2) == 1  # stopped after the first
    (tmp_path / "baseline.json").write_text('{"tasks_hash": "as an older version wrote it"}')
    assert validate("tasks", validation_per_family=2) == 2
    (tmp_path / "baseline.json").write_text("{")
    assert validate("tasks", validation_per_family=2) == 2
