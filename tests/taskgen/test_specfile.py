from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

import velodrome
from velodrome.foundation.errors import SpecError
from velodrome.taskgen.specfile import load_specs, save_specs


def test_files_round_trip_with_what_is_recorded_beside(tmp_path):
    specs = velodrome.sample(6, seed=4)
    path = tmp_path / "tasks.json"
    save_specs(path, specs, recorded=[{"predicted_seconds": 0.5}] * 6)
    assert load_specs(path) == specs
    content = json.loads(path.read_text())
    assert (content["schema"], content["kind"]) == (1, "velodrome-tasks")
    assert content["tasks"][2]["hash"] == specs[2].hash
    assert content["tasks"][2]["recorded"] == {"predicted_seconds": 0.5}


GOOD = {"family": "mlp", "data": {"name": "digits"}, "batch_size": 8}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{not json", ["a JSON text"]),
        ("[1]", ["velodrome-tasks"]),
        ('{"kind": "velodrome-store"}', ["velodrome-tasks"]),
        ('{"kind": "velodrome-tasks", "schema": 9}', ["schema", "9", "must be 1"]),
        ('{"kind": "velodrome-tasks", "schema": 1, "tasks": 3}', ["tasks", "a list"]),
        ('{"kind": "velodrome-tasks", "schema": 1, "tasks": [3]}', ["tasks[0]", '"spec"']),
        (
            json.dumps(
                {
                    "kind": "velodrome-tasks",
                    "schema": 1,
                    "tasks": [{"spec": GOOD}, {"spec": {**GOOD, "batch_size": -3}}],
                }
            ),
            ["tasks[1].batch_size", "-3"],
        ),
        (
            json.dumps(
                {
                    "kind": "velodrome-tasks",
                    "schema": 1,
                    "tasks": [{"spec": GOOD, "hash": "0" * 64}],
                }
            ),
            ["tasks[0].hash", "delete the hash"],
        ),
        (
            json.dumps(
                {"kind": "velodrome-tasks", "schema": 1, "tasks": [{"spec": GOOD, "target": {}}]}
            ),
            ["tasks[0].target", "in the file of a suite"],
        ),
        (
            json.dumps(
                {"kind": "velodrome-tasks", "schema": 1, "tasks": [{"spec": GOOD, "hsh": "0"}]}
            ),
            ["tasks[0]", "did you mean 'hash'"],
        ),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_the_reason(tmp_path, text, words):
    path = tmp_path / "tasks.json"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_specs(path)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_arguments_in_the_wrong_order_are_refused(tmp_path):
    specs = velodrome.sample(1, seed=4)
    users: Any = inspect.unwrap(save_specs)  # without the type checks of the tests
    with pytest.raises(SpecError, match="a list of task specs, after the path of the file"):
        users(specs, str(tmp_path / "tasks.json"))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(SpecError, match="can be read"):
        load_specs(tmp_path / "nothing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="a JSON text"):
        load_specs(tmp_path / "binary.json")
