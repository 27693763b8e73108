"""What a store refuses: another suite or protocol, a plan that is not its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plans import plan_of

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.results.store.store import Store

PLAN = plan_of([], [])
EMPTY = PLAN.to_json()
TASKS = [
    {"spec": {"family": "mlp", "name": name}, "hash": str(at) * 12}
    for at, name in enumerate("abcde")
]


def create(path: Path, *, tasks: Any = (0, 1), optimizers: Any = ("adam",), **fields: Any) -> Store:
    """Make a store as a run does, whose hashes follow from what it is of."""
    protocol = {"steps": 20, "learning_rates": None, **fields}
    suite = {"tasks": [TASKS[at] for at in tasks], "optimizers": list(optimizers)}
    manifest = {
        "suite": {"name": "mine", "hash": content_hash([suite, protocol])},
        "protocol": protocol,
        "protocol_hash": content_hash(protocol),
        "plan_hash": PLAN.hash,
    }
    return Store.create(path, manifest=manifest, plan=PLAN, suite=suite)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 30}, "steps: 20 there, 30 asked for"),
        ({"learning_rates": [0.1, 1.0]}, "learning_rates: none there, 0.1, 1.0 asked for"),
        (
            {"optimizers": ("adam", "velo"), "steps": 30},
            "steps: 20 there, 30 asked for; optimizers: adam there, adam, velo asked for",
        ),
        ({"tasks": (1, 2)}, "tasks only there: a; tasks only asked for: c"),
        ({"tasks": range(5)}, "tasks only asked for: c, d, e"),
        ({"tasks": (1, 0)}, "the same tasks in another order"),
    ],
)
def test_another_suite_is_refused_with_what_differs(tmp_path: Path, changes: Any, message: str):
    create(tmp_path)
    with pytest.raises(StoreError) as refused:
        create(tmp_path, **changes)
    told = str(refused.value)
    assert f"not the suite mine as asked for: {message}. Results of two suites" in told
    assert told.endswith("choose another directory, or ask for what is there")


def test_many_tasks_are_not_all_named(tmp_path: Path):
    create(tmp_path, tasks=range(5))
    with pytest.raises(StoreError, match="tasks only there: b, c, d and 1 more"):
        create(tmp_path, tasks=(0,))


def test_stores_that_say_no_more_than_their_hashes_are_told_apart(tmp_path: Path):
    def make(suite: str, protocol: str) -> Store:
        manifest = {"suite": {"name": suite, "hash": suite}, "protocol_hash": protocol}
        return Store.create(tmp_path, manifest=manifest, plan=PLAN, suite={})

    make("aaa", "bbb")
    make("aaa", "bbb")
    with pytest.raises(StoreError, match="suite aaa, which is not the suite zzz, asked for here:"):
        make("zzz", "bbb")
    with pytest.raises(StoreError, match="protocol bbb there, yyy asked for"):
        make("aaa", "yyy")


def test_a_file_in_its_place_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file is a file, but a store of results is a directory"):
        create(tmp_path / "file")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([], "holds no object of the kind 'velodrome-plan'"),
        ({}, "holds no object of the kind 'velodrome-plan'"),
        ({**EMPTY, "schema": 2}, "it has schema 2, and this version reads schema 1"),
        ({**EMPTY, "shards": {}}, r": shards: got {}, but it must be a list"),
        ({**EMPTY, "more": 1}, "content: got 'more', but it must be one of the keys suite_hash"),
        ({**EMPTY, "cells": [3]}, r": cells\[0\]: got 3, but it must be an object"),
        ({**EMPTY, "shards": [{"id": "s"}]}, r": shards\[0\]: got .* with the key 'cell'"),
        ({**EMPTY, "rule": {}}, r"content hash is \w{12}, the manifest's plan_hash"),
    ],
)
def test_another_plan_is_refused(tmp_path: Path, plan: object, message: str):
    create(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(StoreError, match=message) as refused:
        Store.open(tmp_path)
    told = str(refused.value)
    assert "plan.json is not the plan that this store was made with" in told
    assert "Put the original file back, or choose another directory" in told


def test_a_suite_that_is_no_object_is_refused(tmp_path: Path):
    create(tmp_path)
    (tmp_path / "suite.json").write_text("[]")
    with pytest.raises(StoreError, match="suite.json is damaged.* must be an object"):
        Store.open(tmp_path)


def test_a_manifest_without_hashes_is_refused(tmp_path: Path):
    create(tmp_path)
    (tmp_path / "manifest.json").write_text('{"kind": "velodrome-store", "schema": 1}')
    with pytest.raises(StoreError, match="with the key 'protocol_hash'. Put the orig"):
        Store.open(tmp_path)
