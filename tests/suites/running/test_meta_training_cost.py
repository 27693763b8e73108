"""A store says what meta-training its optimizers cost, and nothing else depends on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import toys

from velodrome.optimizers.metacost import MetaTrainingCost
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import KEY
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.running.store_setup import open_store

COST = MetaTrainingCost(2.0, "CPU hours", "its author")


@contextmanager
def planned(cost: MetaTrainingCost | None) -> Iterator[tuple[LoadedSuite, Plan]]:
    learned = toys.counting(identity={"weights": "w"}, meta_training=cost)
    with toys.registered(counting=learned):
        loaded = LoadedSuite.of(toys.bowl_suite("counting", "sgd"))
        yield loaded, make_plan(loaded)


def test_the_cost_is_in_the_manifest_and_in_no_hash(tmp_path: Path):
    with planned(None) as (loaded, plan):
        unknown = (loaded.suite.hash, plan.hash)
    with planned(COST) as (loaded, plan):
        assert (loaded.suite.hash, plan.hash) == unknown
        store, _ = open_store(loaded, tmp_path, plan)
    identity = dict(loaded.optimizers["counting"].identity)
    assert identity["weights"] == "w"
    whose = {"name": "counting", "version": 1, "identity": identity}
    assert store.manifest[KEY] == [{"optimizer": whose, **dataclasses.asdict(COST)}]
    assert Store.open(tmp_path).manifest == store.manifest
