"""Ray actors: the same bits as inline, also when a worker and a whole node are killed."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import toys

from velodrome.foundation.errors import VelodromeError
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.running.engines.ray_actor import Actor, small_files
from velodrome.suites.running.engines.ray_engine import RayEngine, _Remote
from velodrome.suites.running.jobs import jobs_left
from velodrome.suites.running.run import run
from velodrome.suites.running.store_setup import open_store
from velodrome.suites.suite import Suite

SUITE = dataclasses.replace(
    load_suite("smoke").override(
        steps=1000, seeds=3, learning_rates=[1e-3], baseline_multiple=1, optimizers=["adam"]
    ),
    tasks=load_suite("smoke").tasks[:1],
)


def make_store(directory: Path) -> Store:
    loaded = LoadedSuite.of(SUITE)
    return open_store(loaded, directory, make_plan(loaded))[0]


class NoisyActor(Actor):
    """Meanwhile another worker writes a state into the shared folder."""

    def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
        super().report(fraction=fraction, last_loss=last_loss)
        other = self._directory / "states" / "other.npz"
        if other.parent.is_symlink():
            other.write_bytes(b"state")


def settings_of(store: Store, suite: Suite, directory: Path) -> dict[str, object]:
    return {
        "question": store.question.partition("-")[2],
        "suite": suite.to_json(),
        "directory": str(directory),
        "files": small_files(store.directory),
        "checkpoint_seconds": 0.0,
        "spread": None,
    }


def test_an_actor_does_a_job_in_a_store_of_its_own_and_returns_the_files(tmp_path: Path):
    suite = SUITE.override(steps=20, seeds=1)
    loaded = LoadedSuite.of(suite)
    store, _ = open_store(loaded, tmp_path / "there", make_plan(loaded))
    (job, *_), _ = jobs_left(store, suite, {}, timing=False)
    states = tmp_path / "there" / "states"
    for directory in (tmp_path / "there", tmp_path / "elsewhere"):
        shared = directory.name == "there"
        actor = NoisyActor(settings_of(store, suite, directory))
        assert actor.check() == ""
        files, stopped, failure = actor.do(vars(job), {})
        assert (stopped, failure) == (False, None)
        # The state comes first; in a shared folder it is where it belongs, as are those of others.
        mine = [f"states/{job.id}.npz", f"shards/{job.id}.parquet"]
        assert list(files) == mine[shared:]
        found = {path.name for path in states.iterdir()}
        assert found == {"other.npz", f"{job.id}.npz"}
        assert actor.progress()[0] == 1.0
        actor.stop()
        assert actor.do(vars(job), {}) == ({}, True, None)
        # Where the folder is shared, the checkpoint of what was stopped is in the store.
        saved = tmp_path / "there" / "checkpoints" / f"{job.id}.npz"
        assert saved.exists() == shared
        saved.unlink(missing_ok=True)
    assert not store.has_shard(job.id)


def test_runs_go_on_in_an_actor_that_does_not_see_the_folder(tmp_path: Path):
    suite = SUITE.override(steps=20, seeds=1)
    run(suite, tmp_path / "there", workers=0, timing=False, progress="silent")
    longer = suite.override(steps=30)
    loaded = LoadedSuite.of(longer)
    store, _ = open_store(loaded, tmp_path / "there", make_plan(loaded))
    (job,), _ = jobs_left(store, longer, {}, timing=False)
    assert store.plan.shard(job.id).start == 20
    actor = Actor(settings_of(store, longer, tmp_path / "elsewhere"))

    class Handle:
        """Calls an actor as Ray does."""

        class do:  # noqa: N801 - as the method
            remote = staticmethod(actor.do)

    ray = SimpleNamespace(
        wait=lambda refs, timeout: (refs, []),
        get=lambda ref: ref,
        exceptions=SimpleNamespace(RayActorError=ConnectionError),
    )
    remote = _Remote(ray, Handle, store, toys.Recorder(), Counter())
    remote.do(job, actor)
    made = store.record(job.id)
    assert made is not None
    assert (made.begin, made.stop, made.after) == (20, 30, store.plan.shard(job.id).after)
    assert [path.name for path in actor._directory.glob("states/*")] == []


def test_actors_that_never_begin_end_the_run(tmp_path: Path):
    def lost(ref: object) -> str:
        raise ConnectionError("no memory")

    ray = SimpleNamespace(
        wait=lambda refs, timeout: (refs, []),
        get=lost,
        exceptions=SimpleNamespace(RayActorError=ConnectionError),
    )
    made: list[object] = []

    def make() -> object:
        made.append(None)
        return SimpleNamespace(check=SimpleNamespace(remote=lambda: None))

    remote = _Remote(ray, make, make_store(tmp_path), toys.Recorder(), Counter())
    with pytest.raises(VelodromeError, match="no memory"):
        remote.wait(threading.Event())
    assert len(made) < 9


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Ray's own, of its processes and sockets
def test_a_killed_worker_and_a_killed_node_change_no_bit(tmp_path: Path, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray: pip install 'velodrome[ray]'")
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    run(SUITE, tmp_path / "inline", workers=0, timing=False, progress="silent")
    store = make_store(tmp_path / "ray")
    jobs, _ = jobs_left(store, SUITE, {}, timing=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    killed: list[str] = []

    def kill() -> None:
        claims = Claims(store.directory, read_only=True)
        while len(claims.held()) < 2:
            time.sleep(0.1)
        children = psutil.Process().children(recursive=True)
        actors = [child for child in children if child.name().startswith("ray::Actor")]
        actors[0].kill()
        killed.append("worker")
        time.sleep(1)
        cluster.remove_node(node, allow_graceful=False)
        killed.append("node")

    display = toys.Recorder()
    display.begin(store.plan, jobs)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        RayEngine(SUITE, workers=2, address=cluster.address, checkpoint_seconds=0.0).run(
            store, jobs, display
        )
    finally:
        cluster.shutdown()
    killer.join()
    assert killed == ["worker", "node"]
    assert ("killed", True) in {(kind, again) for kind, _, again in display.failures}
    assert toys.contents(tmp_path / "ray") == toys.contents(tmp_path / "inline")
    assert all(cell.done == cell.lanes for cell in display.cells.values())
