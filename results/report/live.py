"""A page that shows a run while it runs: a file that a browser loads again by itself.

It has progress, the time that is left, who works at what, and the curves of each task as they grow:
those of runs that are done from the store, those of runs that are being trained from the last
losses that their workers reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.files import atomic_write_text
from velodrome.foundation.text import duration, plural
from velodrome.results.report.data import collect
from velodrome.results.report.figures.colours import dark
from velodrome.results.report.figures.style import BASELINE, series_styles
from velodrome.results.report.page.axes import Axis, path
from velodrome.results.report.page.tables import readable
from velodrome.results.report.page.templates import style_sheet, templates
from velodrome.results.report.verdict import verdict_lines
from velodrome.results.store.cell import Cell
from velodrome.results.store.plan import Plan
from velodrome.results.store.status import Status
from velodrome.results.store.store import Store

WIDTH, HEIGHT = 320, 150

#: Tasks whose curves are shown: those that are worked at, then the newest.
MOST_TASKS = 12


@dataclass(frozen=True)
class Line:
    """One optimizer on one task: SVG path data, its colour, and whether it is being trained."""

    label: str
    path: str
    colour: str
    growing: bool


@dataclass(frozen=True)
class Panel:
    """The curves of one task, as far as its shortest runs go.

    Losses run from ``low`` to ``high``, steps from 0 to ``last``.
    """

    task: str
    lines: tuple[Line, ...]
    low: str
    high: str
    last: str


@dataclass
class _Growing:
    """Points of a shard that a worker trains, as it reports them."""

    task: str
    optimizer: str
    steps: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def add(self, step: float, loss: float) -> None:
        if not self.steps or step > self.steps[-1]:
            self.steps.append(step)
            self.losses.append(loss)


class LivePage:
    """The page of one store, written again and again.

    Args:
      directory: Of the store.
      file: Where the page goes.
      seconds: After how long a browser loads it again; None if nobody will write it again.
    """

    def __init__(self, directory: Path, file: Path, *, seconds: float | None = 2.0):
        self._directory = directory
        self._file = file
        self._seconds = None if seconds is None else max(1, round(seconds))
        self._growing: dict[tuple[str, int, str], _Growing] = {}
        self._done: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
        environment = templates()
        environment.filters |= {"duration": duration, "plural": plural}
        self._template = environment.get_template("live.html.j2")

    def write(self, now: Status, *, ended: bool) -> None:
        """Write the page; one of a run that has ended has its verdict, and is not loaded again.

        Raises:
          WriteError: It cannot be written.
        """
        store = Store.open(self._directory, read_only=True)
        self._follow(now, store.plan)
        cells = list(store.cells())
        baseline = store.baseline
        labels = tuple(dict.fromkeys(cell.label for cell in cells if cell.name != baseline))
        tuned = next((cell.label for cell in cells if cell.name == baseline), baseline)
        colours = {label: style.color for label, style in series_styles(labels).items()}
        colours = {tuned: BASELINE, **colours}
        html = self._template.render(
            now=now,
            ended=ended,
            suite=str(store.manifest["suite"].get("name")),
            seconds=None if ended else self._seconds,
            panels=list(self._panels(now, cells, colours)),
            colours=colours,
            night={colour: dark(colour) for colour in colours.values()},
            verdict=self._verdict(store) if ended else [],
            style=style_sheet(),
            width=WIDTH,
            height=HEIGHT,
        )
        atomic_write_text(self._file, html)

    def _verdict(self, store: Store) -> list[str]:
        try:
            return [readable(line) for line in verdict_lines(collect(store))]
        except VelodromeError as error:  # what is done is shown all the same
            return [str(error)]

    def _follow(self, now: Status, plan: Plan) -> None:
        """Note what the workers say of the runs that they train."""
        before, self._growing = self._growing, {}
        for worker in now.workers:
            # A shard of another question of the store is on no curve here.
            if worker.kind != "shard" or not plan.has_shard(worker.job):
                continue
            key = worker.host, worker.pid, worker.job
            runs = before.get(key) or _Growing(worker.task, worker.optimizer)
            self._growing[key] = runs
            if worker.best_loss is not None and math.isfinite(worker.best_loss):
                shard = plan.shard(worker.job)
                step = shard.start + worker.fraction * (shard.stop - shard.start)
                runs.add(step, worker.best_loss)

    def _panels(
        self, now: Status, cells: Sequence[Cell], colours: Mapping[str, str]
    ) -> Iterator[Panel]:
        tasks: dict[str, list[Cell]] = {}
        for cell in cells:
            tasks.setdefault(cell.task.label, []).append(cell)
        at_work = dict.fromkeys(worker.task for worker in now.workers)
        begun = [task for task, mine in tasks.items() if any(cell.lanes for cell in mine)]
        for task in list(dict.fromkeys([*at_work, *reversed(begun)]))[:MOST_TASKS]:
            mine = tasks.get(task, [])
            curves = [(cell.label, self._best(cell), False) for cell in mine if cell.lanes]
            curves += [
                (runs.optimizer, (np.asarray(runs.steps), np.asarray(runs.losses)), True)
                for runs in self._growing.values()
                if runs.task == task
            ]
            horizon = min(cell.horizon for cell in mine) if mine else 0
            panel = _panel(task, curves, colours, horizon=horizon)
            if panel is not None:
                yield panel

    def _best(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and losses of the run with the lowest last loss; read if there are more."""
        known = self._done.get(cell.id)
        if known is None or known[0] != len(cell.lanes):
            curves = cell.curves()
            last = [row[np.isfinite(row)][-1:] for row in curves.values]
            lowest = [float(one[0]) if len(one) else math.inf for one in last]
            row = curves.values[int(np.argmin(lowest))] if lowest else np.zeros(0)
            there = np.isfinite(row)
            known = len(cell.lanes), curves.steps[there], row[there]
            self._done[cell.id] = known
        return known[1], known[2]


def _panel(
    task: str,
    curves: Sequence[tuple[str, tuple[np.ndarray, np.ndarray], bool]],
    colours: Mapping[str, str],
    *,
    horizon: int,
) -> Panel | None:
    """Lay out the first ``horizon`` steps of a task; None if there is no point.

    A curve is a label, steps with losses, and whether it is still growing.
    """
    curves = [
        (label, (steps[steps <= horizon], losses[steps <= horizon]), still)
        for label, (steps, losses), still in curves
    ]
    curves = [one for one in curves if len(one[1][0])]
    if not curves:
        return None
    last = max(float(steps[-1]) for _, (steps, _), _ in curves)
    low = min(float(np.min(losses)) for _, (_, losses), _ in curves)
    # Curves start at nearly the same loss; what explodes later leaves the drawing.
    high = max(float(losses[0]) for _, (_, losses), _ in curves)
    high = high if high > low else low + 1.0
    x, y = Axis(0.0, max(last, 1.0), WIDTH), Axis(low, high, HEIGHT, low > 0 and high > 10 * low)
    lines = []
    for label, (steps, losses), still in curves:
        down = np.clip(HEIGHT - y(losses), -HEIGHT, 2 * HEIGHT)
        lines.append(Line(label, path(x(steps), down), colours.get(label, BASELINE), still))
    return Panel(task, tuple(lines), f"{low:.3g}", f"{high:.3g}", f"{last:,.0f}")
