"""Race one optimizer against the stored field of a suite: only its own runs are trained."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import SpecError
from velodrome.foundation.files import exclusive_directory, resolved
from velodrome.optimizers.registry import optimizers
from velodrome.results.report.standings import race_lines, standings_table
from velodrome.results.report.tables import TextTable
from velodrome.results.report.write import ReportFiles, report
from velodrome.suites.running.displays import choose_progress
from velodrome.suites.running.field import begin, stored_field
from velodrome.suites.running.progress import Progress
from velodrome.suites.running.run import RunResult, run
from velodrome.suites.suite import Suite

SUITE = "sprint"


@dataclass(frozen=True)
class RaceResult:
    """What came of a race.

    Attributes:
      standings: The field with it, the best first.
      lines: The verdict in sentences: place, speedups, rivals, rate, failures.
      report: The report of the whole field, with this optimizer in it.

    Examples:
      >>> result = velodrome.race("optax:lion")  # doctest: +SKIP
      >>> result.report.page  # doctest: +SKIP
    """

    directory: Path
    label: str
    standings: TextTable
    lines: tuple[str, ...]
    report: ReportFiles
    run: RunResult


def race(
    optimizer: str,
    out: str | os.PathLike[str] | None = None,
    *,
    suite: str = SUITE,
    field: str | os.PathLike[str] | None = None,
    learning_rates: Sequence[float] | None = None,
    grid: Mapping[str, Sequence[object]] | None = None,
    workers: int | None = None,
    timing: bool = True,
    rerun_changed: bool = False,
    progress: str | Progress = "auto",
) -> RaceResult:
    """Train an optimizer on a suite, and compare it with stored runs of tuned Adam and others.

    Args:
      optimizer: A name or an import path, such as ``"mine.py:make"`` or ``"optax:adan"``.
      out: The store: new, or from earlier races. Default: ``race/NAME``.
      suite: The suite; its field must be stored.
      field: A store with runs of the suite's baseline, and perhaps of others. Default: what comes
        with the package for this suite.
      learning_rates: The sweep of this optimizer. Default: the suite's.
      grid: Other hyperparameters of this optimizer to sweep, each with its values.
      workers: Worker processes; see `velodrome.run`.
      timing: Whether to time a step of it and of the baseline, in turns.
      rerun_changed: Whether to race again an optimizer whose code has changed.
      progress: See `velodrome.run`.

    Raises:
      SpecError: The optimizer is the baseline that all are measured by.
      StoreError: There is no field for this suite; or it is of another one, not complete, or of
        code or data that have changed since, so that others than the optimizer would be trained.
      VelodromeError: See `velodrome.run`.

    Examples:
      >>> result = velodrome.race("optax:lion", learning_rates=[1e-4, 1e-3])  # doctest: +SKIP
      >>> result.lines[0]  # doctest: +SKIP
    """
    there = stored_field(suite, field)
    chosen = Suite.from_json(dict(there.suite))  # with the grids of those who have entered
    rivals = [str(name) for name in there.suite.get("optimizers", ())]
    if optimizer == chosen.protocol.baseline:
        others = f"another than {optimizer}, which all are measured by"
        raise SpecError("optimizer", optimizer, others)
    place = resolved(Path("race") / _file_name(optimizer) if out is None else out)
    with exclusive_directory(place, patience=60.0):
        begin(place, there)
    swept = {**(grid or {}), **({"learning_rate": learning_rates} if learning_rates else {})}
    own = {optimizer: swept} if swept else None

    def ask(names: Sequence[str], *, timing: bool, progress: str | Progress) -> RunResult:
        return run(
            chosen, place, optimizers=names, grid=own, workers=workers, timing=timing,
            baseline="exhaustive", rerun_changed=rerun_changed, progress=progress,
        )  # fmt: skip

    shown = choose_progress(progress)
    if timing:  # of the field only the baseline: the others' seconds would cost minutes
        own_runs = ask([chosen.protocol.baseline, optimizer], timing=True, progress=progress)
        # What is left is to join the rivals' stored runs; how many there are is no news.
        progress = progress if own_runs.missing else "silent"
    done = ask(list(dict.fromkeys([*rivals, optimizer])), timing=False, progress=progress)
    shown.say("Drawing the report of the whole field.")
    files = report(place)
    known = files.data.summary["optimizer"].map(optimizers.portable)
    mine = known == optimizers.portable(optimizer)
    label = str(files.data.summary.loc[mine, "label"].iloc[0])
    standings = standings_table(files.data)
    return RaceResult(place, label, standings, tuple(race_lines(files.data, label)), files, done)


def _file_name(optimizer: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", optimizers.portable(optimizer)).strip("-.")
