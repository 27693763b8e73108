"""Configs round-trip, and bad ones are refused with the field named."""

from __future__ import annotations

import dataclasses
import json

import pytest

from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.optimizers.metatrain.config.config import (
    MetaTrainConfig,
    builtin_configs,
    load_config,
    load_plan,
)
from velodrome.optimizers.metatrain.config.inner import PhaseConfig, TasksConfig, UnrollConfig
from velodrome.optimizers.metatrain.config.outer import EstimatorConfig, RecordConfig


def test_round_trip(tmp_path):
    config = MetaTrainConfig(
        seed=7,
        tasks=TasksConfig(families=("mlp", "rnn"), exclude_data=("kjv", "photos")),
        unroll=UnrollConfig(low=5, high=9, objective="final"),
        estimator=EstimatorConfig(scales={"step_size": 10.0}),
        phases=(PhaseConfig(until=3, low=2, high=4, scales={"bank": 1.0}),),
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_json()))
    assert load_config(path) == config
    assert load_config(path).hash == config.hash


def test_what_is_left_out_is_at_its_default():
    assert MetaTrainConfig.from_json({"seed": 3}) == MetaTrainConfig(seed=3)
    assert MetaTrainConfig.from_json({"outer": {"steps": 9, "warmup": 1}}).outer.steps == 9


def test_what_is_only_recorded_is_not_in_the_hash():
    config = MetaTrainConfig()
    other = dataclasses.replace(config, record=RecordConfig(checkpoint_seconds=1.0))
    assert other.hash == config.hash
    assert dataclasses.replace(config, seed=1).hash != config.hash


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"estimater": {}}, "config: got 'estimater'.*did you mean 'estimator'"),
        ({"estimator": {"sigma": 0.0}}, "estimator.sigma"),
        ({"estimator": {"shaping": "rank"}}, "estimator.shaping"),
        ({"estimator": {"scales": {"lstn": 1.0}}}, "estimator.scales.lstn"),
        ({"estimator": {"scales": {"lstm": -1.0}}}, "estimator.scales.lstm"),
        ({"tasks": {"seed": 5}}, "tasks.seed: got 5"),
        ({"tasks": {"validation_seed": 1_000_000}}, "tasks.validation_seed"),
        ({"tasks": {"families": "mlp"}}, "tasks.families"),
        ({"tasks": {"families": []}}, "tasks.families"),
        ({"tasks": {"max_mflop": "1"}}, "tasks.max_mflop"),
        ({"tasks": {"exclude_data": []}}, "tasks.exclude_data: .*photos"),
        ({"tasks": {"use_held_out_data": 1}}, "tasks.use_held_out_data"),
        ({"unroll": {"low": 10, "high": 5}}, "unroll.high"),
        ({"unroll": {"objective": "mean"}}, "unroll.objective"),
        ({"outer": {"b2": 1.0}}, "outer.b2"),
        ({"outer": {"learning_rate": float("nan")}}, "outer.learning_rate"),
        ({"outer": 3}, "outer"),
        ({"architecture": {"hidden": 0}}, "architecture.hidden"),
        ({"record": {"validation_seeds": 0}}, "record.validation_seeds"),
        ({"schema": 2}, "schema"),
        ({"tasks": {"augmentations": {"noise": 1.0}}}, "tasks.augmentations.noise"),
        ({"tasks": {"augmentations": {"es": 2.0}}}, "tasks.augmentations.es"),
        ({"tasks": {"mixture": {"vit": 1.0}}}, "tasks.mixture.vit"),
        ({"tasks": {"mixture": {"mlp": 0.0}}}, "tasks.mixture.mlp"),
        ({"estimator": {"method": "tes"}}, "estimator.method"),
        ({"estimator": {"window": 0}}, "estimator.window"),
        ({"outer": {"accumulate": 0}}, "outer.accumulate"),
        ({"record": {"tensorboard": "yes"}}, "record.tensorboard"),
        ({"phases": {}}, "phases"),
        ({"phases": [{"until": 3, "heigh": 4}]}, "phases: got 'heigh'.*'high'"),
        ({"phases": [{"until": 3, "scales": {"lstn": 1}}]}, "phases.scales.lstn"),
        ({"phases": [{"until": 3}, {"until": 3}]}, "phases.until"),
        ({"phases": [{"until": 3, "high": 401}]}, "phases.high: got 401.*unroll.high"),
    ],
)
def test_bad_values_are_refused_by_name(values, field):
    with pytest.raises(SpecError, match=field):
        MetaTrainConfig.from_json(values)


def test_a_file_that_is_missing_or_no_json_is_told(tmp_path):
    with pytest.raises(VelodromeError, match="cannot read the config"):
        load_config(tmp_path / "none.json")
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(VelodromeError, match="is not JSON"):
        load_config(path)


def test_phases_hold_until_their_end_and_the_rest_after():
    config = MetaTrainConfig(
        unroll=UnrollConfig(low=10, high=99),
        estimator=EstimatorConfig(scales={"lstm": 2.0}),
        phases=(
            PhaseConfig(until=2, low=5, high=6, scales={"bank": 3.0}),
            PhaseConfig(until=4, low=7, high=8),
        ),
    )
    found = [config.phase(step) for step in range(5)]
    assert [phase.low for phase in found] == [5, 5, 7, 7, 10]
    assert [phase.high for phase in found] == [6, 6, 8, 8, 99]
    assert [dict(phase.scales) for phase in found[1:3]] == [{"bank": 3.0}, {"lstm": 2.0}]
    assert dict(found[4].scales) == {"lstm": 2.0}


def test_built_in_configs_are_found_by_name(tmp_path, monkeypatch):
    assert {"velo-tiny", "two-phase"} <= set(builtin_configs())
    for name in builtin_configs():
        config = load_plan(name)
        assert type(config).from_json(config.to_json()) == config
    # Names are names wherever one stands, and a path is a path.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two-phase").write_text('{"seed": 77}')
    assert load_config("two-phase").seed != 77
    assert load_config("./two-phase").seed == load_config(tmp_path / "two-phase").seed == 77


def test_an_unknown_config_gets_the_close_names():
    with pytest.raises(UnknownNameError, match="named 'velo-tin'. Did you mean 'velo-tiny'"):
        load_config("velo-tin")
    with pytest.raises(VelodromeError, match=r"cannot read.*velo-tin\.json.*\(.*velo-tiny.*\)"):
        load_config("velo-tin.json")
