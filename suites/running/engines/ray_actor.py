"""What runs in a Ray process: an actor that does jobs in a store of its own, and returns the files.

Where it sees the folder of the run's store, checkpoints and states go straight into that.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.files import atomic_write_bytes
from velodrome.results.store.index import INDEX
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.planning.spread import spread_of
from velodrome.suites.running.engines.base import Job
from velodrome.suites.running.engines.outcomes import failure_of
from velodrome.suites.running.engines.pull import do_job
from velodrome.suites.suite import Suite
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import ShardRunner, Stopped

#: Files of a store by their path in it.
Files = Mapping[str, bytes]


class Actor:
    """Does one job at a time, and meanwhile answers about it."""

    def __init__(self, settings: Mapping[str, Any]):
        self._directory = Path(tempfile.mkdtemp(prefix="velodrome-ray-"))
        atexit.register(shutil.rmtree, self._directory, ignore_errors=True)
        for name, content in settings["files"].items():
            atomic_write_bytes(self._directory / name, content)
        there = Path(settings["directory"])
        self._shared = small_files(there) == settings["files"]
        if self._shared:
            for name in ("checkpoints", "states"):
                (there / name).mkdir(exist_ok=True)
                (self._directory / name).symlink_to(there / name)
        self._settings = settings
        self._runner: ShardRunner | None = None
        self._stop = threading.Event()
        self._progress: tuple[float, dict[int, float]] = 0.0, {}

    def check(self) -> str:
        """Return why this process cannot run the plan; empty if it can."""
        use_compilation_cache()
        try:
            loaded = LoadedSuite.of(Suite.from_json(self._settings["suite"]))
            self._runner = ShardRunner(
                Store.open(self._directory, question_name=self._settings["question"]),
                loaded,
                checkpoint_seconds=self._settings["checkpoint_seconds"],
                spread=spread_of(self._settings["spread"]),
            )
            self._runner.check()
        except VelodromeError as error:
            return str(error)
        return ""

    def do(
        self, job: Mapping[str, Any], begin: Files
    ) -> tuple[Files, bool, tuple[str, str] | None]:
        """Do a job; return its files, whether it was stopped, and how it failed.

        ``begin`` are files that it begins from.
        """
        self._progress = 0.0, {}
        if self._runner is None and (refused := self.check()):
            return {}, False, ("error", refused)
        assert self._runner is not None
        if not self._shared:
            for name, content in begin.items():
                atomic_write_bytes(self._directory / name, content)
        before = set(self._result_files())
        try:
            do_job(self._runner, Job(**job), self)
        except Stopped:
            return {}, True, None
        except Exception as error:  # the other side records it; others go on
            return {}, False, failure_of(error)
        finally:
            if not self._shared:
                for name in begin:
                    (self._directory / name).unlink(missing_ok=True)
        # States before the shards that go on from them.
        new = sorted((path for path in self._result_files() if path not in before), reverse=True)
        files = {str(path.relative_to(self._directory)): path.read_bytes() for path in new}
        for path in new:
            path.unlink()
        return files, False, None

    def progress(self) -> tuple[float, dict[int, float]]:
        return self._progress

    def stop(self) -> None:
        self._stop.set()

    def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
        """Note how far the job is, as a `Control`."""
        losses = {int(lane): float(loss) for lane, loss in last_loss.items()}
        self._progress = float(fraction), losses

    def should_stop(self) -> bool:
        return self._stop.is_set()

    def _result_files(self) -> list[Path]:
        # Shared states are where they belong, and those of others are among them.
        folders = ("shards", "timings", *(() if self._shared else ("states",)))
        return [path for name in folders for path in self._directory.glob(f"{name}/[!.]*")]


def small_files(directory: Path) -> Files:
    """Return the JSON files that a store is opened from."""
    paths = [*directory.glob("[!.]*.json"), *directory.glob("questions/[!.]*.json")]
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(paths)
        if path.name != INDEX
    }
