"""Run one shard of a plan: from the store's directory and a shard id to a Parquet file."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import PlannedCell, Shard
from velodrome.results.store.records import SpreadRecord
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite, check_cell
from velodrome.suites.planning.spread import Spread, continued
from velodrome.suites.suite import Suite
from velodrome.suites.training import checkpoint, states
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.ends import KeptEnds
from velodrome.suites.training.environment import device_description, versions
from velodrome.suites.training.lane_batch import LaneBatch
from velodrome.suites.training.lanes import LaneLoop
from velodrome.suites.training.placement import Placement
from velodrome.taskgen.numerics import numerics

#: Tasks whose data and compiled programs a process keeps.
_KEPT_TASKS = 8

#: The end of a run whose state has more bytes is not kept: a longer one starts over.
STATE_BYTES = 32 * 2**20


@runtime_checkable
class Control(Protocol):
    """How a running shard talks to the engine that started it."""

    def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
        """Report how much of the shard is done (0 to 1), and the last train loss by lane."""

    def should_stop(self) -> bool:
        """Return whether to save a checkpoint and stop as soon as possible."""
        ...


class Stopped(Exception):  # noqa: N818 - not an error
    """The shard was asked to stop; its checkpoint is in the store."""


class ShardRunner:
    """Runs shards, and keeps data, compiled programs and ends of runs between them.

    Args:
      loaded: The store's suite, with the names of files as they are seen from here. Default: it is
        read from the store, and its optimizers are loaded.
      checkpoint_seconds: Seconds between checkpoints; 0 saves at every opportunity.
      spread: The devices that train each run together, one run after another. Default: a run has
        one device, and several may run at once.

    Raises:
      UnknownNameError: This process does not know an optimizer, family or data set.
      PlanError: This process has fewer devices than ``spread`` asks for.
    """

    def __init__(
        self,
        store: Store,
        loaded: LoadedSuite | None = None,
        *,
        checkpoint_seconds: float,
        spread: Spread | None = None,
    ):
        self.placement = None if spread is None else Placement(spread)
        self.store = store
        loaded = loaded or LoadedSuite.of(Suite.from_json(store.suite))
        self.suite = loaded.suite
        self.checkpoint_seconds = checkpoint_seconds
        # The store keeps the names of the call that made it.
        given = zip(store.suite.get("optimizers", ()), loaded.optimizers.values(), strict=True)
        self._optimizers: dict[str, OptimizerSpec] = dict(given)
        self._tasks: OrderedDict[int, CompiledTask] = OrderedDict()
        self._ends = KeptEnds()

    def go_on(self, store: Store) -> None:
        """Continue with a later plan of the same question, or another view of the same store."""
        self.store = store

    @property
    def tasks(self) -> tuple[int, ...]:
        """The tasks whose data and compiled programs are kept."""
        return tuple(self._tasks)

    def optimizer(self, name: str) -> OptimizerSpec:
        """Return the optimizer that the store's plan calls ``name``, or a registered one."""
        if name not in self._optimizers:
            self._optimizers[name] = optimizers.get(name)
        return self._optimizers[name]

    def check(self) -> None:
        """Raise a `PlanError` unless everything here is what the plan was made with."""
        for cell in self.store.plan.cells:
            if cell.optimizer.imported:
                continue
            check_cell(cell, self.suite, self.optimizer(cell.optimizer.name))

    def task(self, index: int) -> CompiledTask:
        """Return data and programs of the suite's task with that index."""
        if index not in self._tasks:
            while len(self._tasks) >= _KEPT_TASKS:
                self._tasks.popitem(last=False)
            self._tasks[index] = CompiledTask(self.suite, index, placement=self.placement)
        self._tasks.move_to_end(index)
        return self._tasks[index]

    def run_shard(self, shard_id: str, control: Control) -> Path:
        """Train the lanes of a shard, from its checkpoint if there is one, and write its file.

        Returns:
          The path of the Parquet file.

        Raises:
          Stopped: ``control`` asked to stop.
          VelodromeError: The file or a checkpoint cannot be written, or the data are missing.
        """
        started = datetime.now(UTC).isoformat(timespec="seconds")
        plan = self.store.plan
        shard = plan.shard(shard_id)
        cell = plan.cell(shard.cell)
        optimizer = self.optimizer(cell.optimizer.name)
        check_cell(cell, self.suite, optimizer)  # files may have changed since the run began
        path = self.store.directory / "checkpoints" / f"{shard_id}.npz"
        identity = self._identity(shard)
        begun = time.monotonic()
        with numerics():
            task = self.task(cell.task.index)
            lane_batches = task.lane_batches(shard, cell, optimizer)
            loop = LaneLoop(task.data, lane_batches, horizon=shard.stop, block=shard.block)
            if shard.start and self._restore(shard, lane_batches):
                loop.go_on(shard.start)
            spread = None if self.placement is None else self.placement.spread
            spreads = () if spread is None else (spread.record(loop.begin),)
            spent = 0.0
            meta = checkpoint.load_meta(path)
            if meta and all(meta.get(name) == value for name, value in identity.items()):
                # A checkpoint only saves time: if it is of no use, the shard starts again.
                with contextlib.suppress(StoreError):
                    loop.restore(path, meta)
                    started, spent = meta["started"], meta["seconds"]
                    spreads = continued(meta["spread"], spread, loop.step)
            saved = time.monotonic()

            def mark(loop: LaneLoop) -> bool:
                nonlocal saved
                control.report(fraction=loop.fraction, last_loss=loop.buffer.last_loss)
                if loop.finished:
                    return True
                stop = control.should_stop()
                if stop or time.monotonic() - saved >= self.checkpoint_seconds:
                    seconds = spent + time.monotonic() - begun
                    now = {"started": started, "seconds": seconds, "spread": spreads}
                    loop.save(path, {**identity, **now})
                    saved = time.monotonic()
                return not stop

            if not loop.run(mark):
                raise Stopped
        seconds = spent + time.monotonic() - begun
        # The state comes first: where the shard is, it can go on.
        kept = cell.extendable and self._keep(shard, loop)
        written = self._write(shard, cell, loop, started=started, seconds=seconds, spreads=spreads)
        path.unlink(missing_ok=True)
        if kept and shard.start and self._replaces(shard):
            self.store.state_path(shard.after).unlink(missing_ok=True)
        return written

    def _identity(self, shard: Shard) -> dict[str, object]:
        """Return what a checkpoint must be of, so that a shard can continue from it."""
        together = shard.mode == "vmap" and self.placement is None
        device = device_description()
        # Threads change no bit. Where the lanes of one program are placed depends on the number of
        # devices; a lane alone can go on, to rounding, on any number.
        device = {k: v for k, v in device.items() if k != "threads" and (together or k != "count")}
        return {
            "shard": shard.id,
            # Another question may number the same runs in another way.
            "lanes": [lane.lane for lane in shard.lanes],
            "together": together,
            "versions": versions(),
            "device": device,
        }

    def _restore(self, shard: Shard, lane_batches: Sequence[LaneBatch]) -> bool:
        """Put lanes into the states in which the shard before left them, if these are kept."""
        if self._ends.restore(shard, lane_batches):
            return True
        # Without the state the runs start over, which only takes longer.
        with contextlib.suppress(StoreError):
            before = self.store.state_path(shard.after)
            states.restore(before, lane_batches, shard.lanes, shard.start)
            return True
        return False

    def _keep(self, shard: Shard, loop: LaneLoop) -> bool:
        """Keep the end states of a shard's runs, unless they are large."""
        largest = max((batch.state_bytes for batch in loop.lane_batches), default=0)
        # One that stops before the budget is a stage: starting over would cost more than it saves.
        if largest > STATE_BYTES and shard.stop >= self.store.plan.cell(shard.cell).horizon:
            return False
        if shard.stop < self.store.plan.cell(shard.cell).horizon:
            self._ends.keep(shard, loop.lane_batches)
        with numerics():
            return states.save(
                self.store.state_path(shard.id), loop.lane_batches, shard.lanes, shard.stop
            )

    def _replaces(self, shard: Shard) -> bool:
        """Return whether all runs of the shard before went on in this one."""
        before = self.store.record(shard.after)
        runs = {lane.run for lane in shard.lanes}
        return before is not None and all(
            lane.run in runs or lane.diverged_at is not None for lane in before.lanes
        )

    def _write(
        self,
        shard: Shard,
        cell: PlannedCell,
        loop: LaneLoop,
        *,
        started: str,
        seconds: float,
        spreads: Sequence[SpreadRecord],
    ) -> Path:
        diverged = loop.diverged_at()
        lanes = [
            {
                **vars(lane),
                "status": "diverged" if lane.lane in diverged else "ok",
                "diverged_at": diverged.get(lane.lane),
            }
            for lane in shard.lanes
        ]
        planned = cell.to_json()
        metadata = {
            "shard": shard.id,
            "cell": {name: planned[name] for name in ("id", "task", "optimizer", "horizon")},
            "lanes": lanes,
            "protocol": self.suite.protocol.to_json(),
            "data": {**vars(cell.data), "splits": loop.data.content_hashes},
            "mode": shard.mode,
            "eval_slice": shard.eval_slice,
            "block": shard.block,
            "start": shard.start,
            "stop": shard.stop,
            **({"after": shard.after} if loop.begin else {}),
            **({"started_over": True} if shard.start and not loop.begin else {}),
            "versions": versions(),
            "device": device_description(),
            **({"spread": spreads} if spreads else {}),
            "started": started,
            "seconds": round(seconds, 3),
        }
        return self.store.write_shard(shard.id, loop.buffer.columns(diverged), metadata)
