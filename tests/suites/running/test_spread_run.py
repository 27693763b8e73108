"""`run` with several devices for each run: the tests' processes have two."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import toys

from velodrome.foundation.errors import PlanError
from velodrome.results.store.provenance import provenance_table
from velodrome.results.store.store import Store
from velodrome.suites.planning.spread import Spread
from velodrome.suites.running.engines.choice import EngineChoice
from velodrome.suites.running.run import run
from velodrome.suites.training.shard import ShardRunner, Stopped

pytestmark = pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")

QUIET = {"timing": False, "progress": "silent"}


class StopAtOnce:
    def report(self, **said: object) -> None:
        del said

    def should_stop(self) -> bool:
        return True


def said_of(store: Store) -> list[Any]:
    return [record.metadata.get("spread") for record in store.shards()]


def values(store: Store) -> list[np.ndarray]:
    shards = sorted(store.shards(), key=lambda record: str(record.lanes))
    return [record.rows(split="train", metric="loss")[2] for record in shards]


def test_results_say_how_their_runs_were_spread(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting")
        run(suite, tmp_path / "one", workers=0, **QUIET)
        run(suite, tmp_path / "two", devices="2", sharding="data", progress="silent")
        store, alone = Store.open(tmp_path / "two"), Store.open(tmp_path / "one")
    assert said_of(store) == [[{"start": 0, "devices": 2, "sharding": "data"}]] * 2
    assert set(said_of(alone)) == {None}
    np.testing.assert_allclose(np.concatenate(values(store)), np.concatenate(values(alone)))
    (timing,) = store.timings.values()
    assert timing.get("spread") == {"start": 0, "devices": 2, "sharding": "data"}
    rows = dict(provenance_table(store, store.cells()).to_numpy().tolist())
    assert rows["runs trained on"] == "2 devices together, sharding data"


def test_a_stopped_run_goes_on_on_another_number_of_devices(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=1)
        run(suite, tmp_path, devices=2, **QUIET)
        store = Store.open(tmp_path)
        (shard,) = store.plan.shards
        expected = values(store)
        (tmp_path / "shards" / f"{shard.id}.parquet").unlink()
        two = ShardRunner(store, checkpoint_seconds=0.0, spread=Spread(2))
        with pytest.raises(Stopped):
            two.run_shard(shard.id, StopAtOnce())
        run(suite, tmp_path, **QUIET)
        store = Store.open(tmp_path)
        np.testing.assert_allclose(values(store), expected)
        ((begun, rest),) = said_of(store)
        assert begun == {"start": 0, "devices": 2, "sharding": "full"}
        assert rest["start"] > 0 and rest["devices"] == 1
        table = provenance_table(store, store.cells()).to_numpy().tolist()
        assert [text for what, text in table if what == "runs trained on"] == [
            "1 device, for a part of their steps",
            "2 devices together, sharding full",
        ]


def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite, out = toys.bowl_suite("counting"), tmp_path / "out"
        with pytest.raises(PlanError, match="8 devices are asked for, but jax finds 2"):
            run(suite, out, devices=8)
        with pytest.raises(PlanError, match="a batch of 8, which 3 devices cannot share"):
            run(suite, out, devices=3, dry_run=True)  # of a machine that may have them
        with pytest.raises(PlanError, match="workers is 2, but devices that train a run together"):
            run(suite, out, devices=2, workers=2)
    assert not out.exists()


def test_a_dry_run_says_what_each_device_keeps(tmp_path):
    display = toys.Recorder()
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting")
        run(suite, tmp_path / "x", devices=8, dry_run=True, device="h100", progress=display)
    said = "\n".join(display.told)
    assert "on 8 x h100 (not measured), " in said and "of memory on each of 8" in said
    assert "Each run is trained on 8 devices together" in said
    assert "each keeps a part of parameters and optimizer state, and a part of each batch" in said


def choice(**given: object) -> EngineChoice:
    defaults = {
        "name": None, "workers": None, "time_limit": None, "partition": None, "gpus": 0.0,
        "address": None, "checkpoint_seconds": 60.0,
    }  # fmt: skip
    return EngineChoice(**{**defaults, **given})


def test_the_workers_of_an_engine_train_on_their_gpus():
    assert choice(devices="all").spread == Spread(jax.local_device_count())
    assert choice(name="slurm", gpus=4.0, devices="all").spread == Spread(4)
    assert choice(name="ray", gpus=4.0, devices=2, sharding="data").spread == Spread(2, "data")
    with pytest.raises(PlanError, match="each worker has 2 GPUs; give --gpus 4"):
        _ = choice(name="slurm", gpus=2.0, devices=4).spread
