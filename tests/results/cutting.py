"""Stores whose baseline has been run only in part, made of complete ones by cutting curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from velodrome.results.speedup.comparison import TaskComparison, compare_task, labelled_cells
from velodrome.results.speedup.needed import still_needed
from velodrome.results.speedup.stages import Staging
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.cell import Cell
from velodrome.results.store.curves import Curves
from velodrome.results.store.store import Store


@dataclass(frozen=True)
class KeptCell(Cell):
    """A cell that reads its files once: every stage of a sweep asks for the same curves."""

    kept: dict[tuple[str, str], Curves] = field(default_factory=dict[tuple[str, str], Curves])

    def curves(self, *, split: str = "train", metric: str = "loss") -> Curves:
        if (split, metric) not in self.kept:
            self.kept[split, metric] = super().curves(split=split, metric=metric)
        return self.kept[split, metric]


@dataclass(frozen=True)
class CutCell(KeptCell):
    """A cell that knows each run only up to a step: that of its point, 0 if it is not named."""

    ends: Mapping[str, int] = field(default_factory=dict[str, int])

    def curves(self, *, split: str = "train", metric: str = "loss") -> Curves:
        whole = super().curves(split=split, metric=metric)
        values, lanes = whole.values.copy(), []
        for row, lane in enumerate(whole.lanes):
            end = self.ends.get(lane.point, 0)
            values[row, whole.steps > end] = np.nan
            lost = lane.diverged_at is not None and lane.diverged_at <= end
            lanes.append(lane if lost else replace(lane, status="ok", diverged_at=None))
        return replace(whole, values=values, lanes=tuple(lanes))


def cut(cell: Cell, ends: Mapping[str, int]) -> CutCell:
    return CutCell(**{**vars(cell), "ends": ends})


def tasks_of(store: Store) -> list[list[Cell]]:
    """The cells of each task."""
    tasks: dict[str, list[Cell]] = {}
    for cell in labelled_cells(store):
        tasks.setdefault(cell.task.hash, []).append(KeptCell(**vars(cell)))
    return list(tasks.values())


def staged(
    store: Store, cells: Sequence[Cell], mode: BaselineMode
) -> Iterator[tuple[TaskComparison, int]]:
    """Run the sweep of one task in stages, as if its later steps had not been run yet.

    Yields the comparison after each stage, and the steps that all runs together have made.
    """
    staging = replace(Staging.of(store), mode=mode)
    ends: dict[str, int] = {}
    while True:
        some = [cut(cell, ends) if cell.name == store.baseline else cell for cell in cells]
        task = compare_task(some, staging)
        needed = still_needed(task, staging)
        if ends:
            yield task, sum(ends.values())
        if not needed:
            return
        assert all(step > ends.get(point, 0) for point, step in needed.items())
        ends |= needed
