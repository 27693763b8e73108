"""More learning rates around the best ones: which points a question has, from what the store has.

They follow from the question and its curves alone, as the stages of a baseline do. So a run that
was stopped goes on, and what else the store has makes no difference.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.text import plural
from velodrome.results.analyses.tuning import point_learns
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.outcome import read_sweep
from velodrome.results.speedup.progress import SweepNoise
from velodrome.results.speedup.rate_search import ROUNDS, Search, note_of, search, sweeps_rate
from velodrome.results.speedup.stages import stage_ends
from velodrome.results.store.cell import Cell
from velodrome.results.store.curves import seed_mean
from velodrome.results.store.plan import Hyperparameters, Lane, Plan, PlannedCell, Run
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.protocol import Protocol


def refined(store: Store, loaded: LoadedSuite) -> Plan:
    """Return the plan with the points that are asked for now: those of the grids, and added ones.

    Rates are judged by the smoothed seed-mean loss after the candidates' N steps.
    """
    protocol = loaded.suite.protocol
    if protocol.refine is None:
        return store.plan
    grids = {c.id: loaded.optimizers[c.optimizer.name].points for c in store.plan.cells}
    there: dict[str, dict[Run, Hyperparameters]] = {}
    for shard in store.shards():
        runs = {lane.run: lane.hyperparameters for lane in shard.lanes}
        there.setdefault(shard.cell, {}).update(runs)
    staged = store.baseline_mode.staged
    wide = [_with_all(c, there.get(c.id, {}), protocol, staged=staged) for c in store.plan.cells]
    cells = store.cells(dataclasses.replace(store.plan, cells=tuple(wide)), whole=True)
    searches: dict[str, Search] = {}
    for _, of_task in itertools.groupby(cells, key=lambda cell: cell.task.index):
        searches |= _searches(list(of_task), grids, protocol)
    grown = (_grown(c, len(grids[c.id]), searches[c.id], protocol) for c in store.plan.cells)
    return dataclasses.replace(store.plan, cells=tuple(grown))


def most_added(plan: Plan, loaded: LoadedSuite) -> dict[str, int]:
    """Return how many runs a refinement may add to each cell of the plan of a suite."""
    protocol = loaded.suite.protocol
    swept = (c for c in plan.cells if sweeps_rate(loaded.optimizers[c.optimizer.name].points))
    return {c.id: 2 * ROUNDS * protocol.seeds for c in swept if protocol.refine is not None}


def describe_searches(plan: Plan) -> Iterator[str]:
    """Yield lines that say what became of the searches for the best rates."""
    states = [cell.search for cell in plan.cells if cell.search]
    if states:
        yield (
            f"Learning rates were refined in {plural(len(states), 'sweep')}; the best one is found "
            f"in {states.count('found')}."
        )
    for cell in plan.cells:
        if note := note_of(cell.search, cell.optimizer.label):
            yield f"{cell.task.label}: {note}."


def _with_all(
    cell: PlannedCell,
    there: Mapping[Run, Hyperparameters],
    protocol: Protocol,
    *,
    staged: bool,
) -> PlannedCell:
    """Return a cell with all runs of its seeds that are there, as far as they first go."""
    runs = {lane.run: lane.hyperparameters for lane in cell.lanes}
    runs |= {run: point for run, point in there.items() if run[1] < protocol.seeds}
    lanes = (Lane(at, run[1], point) for at, (run, point) in enumerate(runs.items()))
    horizon = cell.horizon
    if staged and cell.extendable:
        horizon, *_ = stage_ends(protocol.steps, horizon, every=protocol.heldout_every)
    return dataclasses.replace(cell, lanes=tuple(lanes), horizon=horizon)


def _grown(cell: PlannedCell, grid: int, found: Search, protocol: Protocol) -> PlannedCell:
    seeds = protocol.seeds
    lanes = cell.lanes[: grid * seeds]
    # Behind those of the grid, so that none gets another number in a later round.
    more = (
        Lane(len(lanes) + at * seeds + seed, seed, point)
        for at, point in enumerate(found.added)
        for seed in range(seeds)
    )
    return dataclasses.replace(cell, lanes=(*lanes, *more), search=found.state)


def _searches(
    cells: Sequence[Cell], grids: Mapping[str, Sequence[Hyperparameters]], protocol: Protocol
) -> dict[str, Search]:
    """Return the search of each optimizer on a task; all wait for the grid of the baseline."""
    known = {cell.id: _Losses(cell, protocol) for cell in cells}
    baseline = next((cell.id for cell in cells if cell.name == protocol.baseline), None)
    found: dict[str, Search] = {}
    for cell in cells:
        grid, losses = grids[cell.id], known[cell.id]
        judge = cell.id if baseline is None else baseline
        if not sweeps_rate(grid):
            found[cell.id] = Search()
        elif any(known[judge].of(point) is None for point in grids[judge]):
            found[cell.id] = Search((), "going on")
        else:
            noise = known[judge].noise(grids[judge])
            found[cell.id] = search(
                grid,
                losses.of,
                gain=float(protocol.refine or 0),
                learns=lambda point, losses=losses, noise=noise: losses.learns(point, noise),
            )
    return found


class _Losses:
    """The losses of the points of a cell that all seeds have been run at, up to N updates."""

    def __init__(self, cell: Cell, protocol: Protocol):
        self._evaluations = len(protocol.evaluations(protocol.horizon(protocol.baseline)))
        self._last: dict[str, float] = {}
        self._place: dict[str, int] = {}
        sweep = read_sweep(cell, "train")
        if sweep is None:
            return
        self._sweep = sweep.until(protocol.steps)
        self._smooth = DEFINITIONS["default"].smooth_candidate(self._sweep.losses)
        last = seed_mean(self._smooth, self._sweep.present)[:, -1]
        if self._sweep.horizon < protocol.steps:  # every run has diverged before
            last = np.full_like(last, np.inf)
        for at, point in enumerate(self._sweep.points):
            if int(self._sweep.present[at].sum()) == protocol.seeds:
                self._place[_key(point)] = at
                self._last[_key(point)] = float(last[at])

    def of(self, point: Hyperparameters) -> float | None:
        return self._last.get(_key(point))

    def noise(self, grid: Sequence[Hyperparameters]) -> SweepNoise:
        """Return the evaluation noise of the runs of a grid."""
        places = [self._place[_key(point)] for point in grid]
        return SweepNoise.of(self._sweep.losses[places], evaluations=self._evaluations)

    def learns(self, point: Hyperparameters, noise: SweepNoise) -> bool:
        at, sweep = self._place[_key(point)], self._sweep
        return point_learns(sweep, self._smooth, at, len(sweep.steps), noise)


def _key(point: Hyperparameters) -> str:
    return canonical_json(dict(point))
