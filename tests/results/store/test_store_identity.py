"""What a store refuses: a plan that is not its own, questions that are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plans import plan_of, question_of

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.results.store.store import Store

PLAN = plan_of([], [])
EMPTY = PLAN.to_json()
TASKS = [
    {"spec": {"family": "mlp", "name": name}, "hash": str(at) * 12} for at, name in enumerate("ab")
]


def create(path: Path) -> Store:
    """Make a store as a run does, whose hashes follow from what it is of."""
    protocol = {"steps": 20, "learning_rates": None}
    suite = {"tasks": TASKS[:2], "optimizers": ["adam"]}
    manifest = {
        "suite": {"name": "mine", "hash": content_hash([suite, protocol])},
        "protocol": protocol,
        "protocol_hash": content_hash(protocol),
    }
    return Store.create(path, manifest=manifest, plan=PLAN, suite=suite)


def test_a_file_in_its_place_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file is a file, but a store of results is a directory"):
        create(tmp_path / "file")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([], "holds no object of the kind 'velodrome-plan'"),
        ({}, "holds no object of the kind 'velodrome-plan'"),
        ({**EMPTY, "schema": 3}, "it has schema 3, and this version reads schema 2"),
        ({**EMPTY, "shards": {}}, r": shards: got {}, but it must be a list"),
        ({**EMPTY, "more": 1}, "content: got 'more', but it must be one of the keys suite_hash"),
        ({**EMPTY, "cells": [3]}, r": cells\[0\]: got 3, but it must be an object"),
        ({**EMPTY, "shards": [{"id": "s"}]}, r": shards\[0\]: got .* with the key 'cell'"),
        ({**EMPTY, "rule": {}}, r"its hash is \w{12}, the plan_hash is \w{12}"),
    ],
)
def test_another_plan_is_refused(tmp_path: Path, plan: object, message: str):
    create(tmp_path)
    path = question_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "plan": plan}))
    with pytest.raises(StoreError, match=message) as refused:
        Store.open(tmp_path)
    told = str(refused.value)
    assert f"{path.name} has not the plan that it was made with" in told
    assert "Put the original file back, or choose another directory" in told


def test_a_suite_that_is_no_object_is_refused(tmp_path: Path):
    create(tmp_path)
    path = question_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "suite": []}))
    with pytest.raises(StoreError, match="is damaged.* must be an object"):
        Store.open(tmp_path)


def test_a_manifest_without_hashes_is_refused(tmp_path: Path):
    create(tmp_path)
    path = question_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "manifest": {}}))
    with pytest.raises(StoreError, match="with the key 'protocol_hash'. Put the orig"):
        Store.open(tmp_path)
