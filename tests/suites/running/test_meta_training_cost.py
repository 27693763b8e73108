"""A store says what meta-training its optimizers cost, and nothing else depends on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import toys

from velodrome.optimizers.metacost import MetaTrainingCost
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import KEY
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.running.store_setup import look_into_store, open_store
from velodrome.suites.suite import Suite

COST = MetaTrainingCost(2.0, "CPU hours", "its author")


@contextmanager
def planned(cost: MetaTrainingCost | None) -> Iterator[tuple[Suite, Plan]]:
    learned = toys.counting(identity={"weights": "w"}, meta_training=cost)
    with toys.registered(counting=learned):
        suite = toys.bowl_suite("counting", "sgd")
        yield suite, make_plan(suite)


def test_the_cost_is_in_the_manifest_and_in_no_hash(tmp_path: Path):
    with planned(None) as (suite, plan):
        unknown = (suite.hash, plan.hash)
    with planned(COST) as (suite, plan):
        assert (suite.hash, plan.hash) == unknown
        store = open_store(suite, tmp_path, plan)
    whose = {"name": "counting", "version": 1, "identity": {"weights": "w"}}
    assert store.manifest[KEY] == [{"optimizer": whose, **COST.to_json()}]
    assert Store.open(tmp_path).manifest == store.manifest


def test_an_older_store_learns_it_when_a_run_goes_on(tmp_path: Path):
    path = tmp_path / "manifest.json"
    with planned(COST) as (suite, plan):
        open_store(suite, tmp_path, plan)
        older = json.loads(path.read_text())
        cost = older.pop(KEY)
        path.write_text(json.dumps(older))
        look_into_store(suite, tmp_path, plan)  # as a dry run does
        assert json.loads(path.read_text()) == older
        open_store(suite, tmp_path, plan)
    assert json.loads(path.read_text()) == {**older, KEY: cost}
