from __future__ import annotations

import dataclasses

import pytest

from velodrome.foundation.errors import SpecError
from velodrome.suites.protocol import Protocol


def test_round_trip_and_hash():
    grids = {"sgd": {"nesterov": (True, False), "learning_rate": (1, 0.5)}}
    protocol = Protocol(steps=200, learning_rates=(1e-3, 0.1), grids=grids)
    assert Protocol.from_json(protocol.to_json()) == protocol
    assert Protocol.from_json(protocol.to_json()).hash == protocol.hash


def test_every_field_moves_the_hash():
    base = Protocol(steps=200)
    other = {
        "steps": 300,
        "seeds": 2,
        "baseline": "sgd",
        "baseline_multiple": 4,
        "eval_every": 5,
        "heldout_every": 100,
        "eval_examples": 64,
        "eval_batches": "fresh",
        "eval_mode": "training-loss",
        "eval_batch_count": 5,
        "corpus_examples": 64,
        "learning_rates": (0.1,),
        "grids": {"adam": {"b1": [0.9]}},
        "refine": 0.01,
    }
    assert {field.name for field in dataclasses.fields(Protocol)} == {*other, "version"}
    hashes = {dataclasses.replace(base, **{name: value}).hash for name, value in other.items()}
    assert len(hashes | {base.hash}) == len(other) + 1


def test_evaluations_are_before_the_first_and_after_the_last_update():
    protocol = Protocol(steps=200, eval_every=10, heldout_every=30)
    assert protocol.evaluations(50) == [0, 10, 20, 30, 40, 50]
    assert protocol.evaluations(50, "heldout") == [0, 30, 50]
    assert protocol.evaluations(60, "heldout") == [0, 30, 60]


def test_the_baseline_runs_longer():
    protocol = Protocol(steps=200, baseline="adam", baseline_multiple=5)
    assert protocol.horizon("adam") == 1000
    assert protocol.horizon("velo") == 200


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"steps": 0}, "protocol.steps"),
        ({"steps": 205}, "protocol.steps"),
        ({"steps": 200, "heldout_every": 15}, "protocol.heldout_every"),
        ({"steps": 200, "eval_mode": "both"}, "protocol.eval_mode"),
        ({"steps": 200, "eval_batches": "some"}, "protocol.eval_batches"),
        ({"steps": 200, "eval_batches": "stream"}, "protocol.eval_batch_count"),
        ({"steps": 200, "learning_rates": []}, "protocol.learning_rates"),
        ({"steps": 200, "learning_rates": [0.1, 0.1]}, "protocol.learning_rates"),
        ({"steps": 200, "refine": 1}, "protocol.refine"),
        ({"steps": 200, "refine": True}, "protocol.refine"),
        ({"steps": 200, "grids": ["adam"]}, "protocol.grids"),
        ({"steps": 200, "grids": {"adam": {}}}, "protocol.grids['adam']"),
        ({"steps": 200, "grids": {"adam": {"b1": []}}}, "protocol.grids['adam'].b1"),
        ({"steps": 200, "grids": {"adam": {"b1": [1, 1.0]}}}, "protocol.grids['adam'].b1"),
        ({"steps": 200, "grids": {"adam": {"b1": [[0.9]]}}}, "protocol.grids['adam'].b1"),
        (
            {"steps": 200, "grids": {"adam": {"learning_rate": [True]}}},
            "protocol.grids['adam'].learning_rate",
        ),
        ({"steps": 200, "version": 2}, "protocol.version"),
    ],
)
def test_wrong_values_are_named(values, field):
    with pytest.raises(SpecError) as raised:
        Protocol.from_json(values)
    assert raised.value.field == field


def test_unknown_key_gets_the_close_one():
    with pytest.raises(SpecError, match="did you mean 'eval_every'"):
        Protocol.from_json({"steps": 200, "eval_evry": 5})
