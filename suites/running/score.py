"""One number for one point of an optimizer's hyperparameters: what a search maximizes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

import numpy as np

from velodrome.foundation.errors import PlanError, SpecError, StoreError
from velodrome.foundation.files import writable_cache_dir
from velodrome.foundation.text import plural
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.speedup.comparison import TaskComparison, compare
from velodrome.results.speedup.definitions import definition_of
from velodrome.results.store.combined import as_one
from velodrome.results.store.selection import Selection
from velodrome.results.store.store import Store
from velodrome.suites.catalog import as_suite
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.running.progress import Progress
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite


def score(
    optimizer: str | OptimizerSpec,
    suite: Suite | str,
    hyperparameters: Mapping[str, bool | int | float | str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    baseline_store: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    seeds: int | None = None,
    baseline_multiple: int | None = None,
    data: str | None = None,
    definition: str = "default",
    workers: int | None = None,
    rerun_changed: bool = False,
    progress: str | Progress = "silent",
) -> float:
    """Train an optimizer at one point, and return its speedup over the baseline; higher is better.

    It is the geometric mean over tasks of the speedup in steps on the train split, which is what
    tables have for each task. Tasks that headlines leave out are left out: saturated ones, and
    those on which neither side makes progress.

    - A loss that the baseline does not reach within its budget counts as the budget over the
      candidate's steps, such as 5: a lower bound.
    - A candidate that diverges, makes no progress, or ends above the untrained network has the
      speedup 0. It counts as one evaluation interval over the candidate's steps, such as
      10 / 2,000, as do all speedups below that: evaluations cannot tell them from 0, and one lost
      task does not hide the others.

    The same arguments give the same number. What ``out`` has is not trained again, so the baseline
    is trained once, and a point that was scored before costs no training. After an interruption,
    call it again.

    Args:
      optimizer: A name, an import path (``"optax:lion"``, ``"path/to/file.py:object"``), or an
        `OptimizerSpec`. A spec that only this process knows is trained in it.
      suite: As `velodrome.run` takes it; of its optimizers only the baseline is used.
      hyperparameters: The point: a value for each that the optimizer would sweep, and for any
        other keyword of its factory.
      out: A store, new or of earlier calls. Default: the folder ``scores/SUITE`` of the cache.
      baseline_store: A store that has the baseline's runs of this suite; it is only read. Default:
        ``out``, where they are trained as far as the speedups need them.
      definition: ``"default"``, ``"paper"`` or ``"strict"``.

    The other arguments are those of `velodrome.run`.

    Raises:
      SpecError: The point leaves something to sweep, or has an unknown name or a wrong value.
      PlanError: The optimizer is the baseline; or no task has a speedup.
      StoreError: Some run failed, which the next call tries again; or the sweep in
        ``baseline_store`` stopped too early.
      VelodromeError: Whatever `velodrome.run` raises.

    Examples:
      >>> velodrome.score("sgdm", "smoke", {"learning_rate": 0.1})  # doctest: +SKIP
    """
    by = definition_of(definition)
    with contextlib.ExitStack() as stack:
        name = optimizer if isinstance(optimizer, str) else optimizer.name
        if isinstance(optimizer, OptimizerSpec):
            stack.enter_context(optimizers.temporarily(name, optimizer))
        given = as_suite(suite)
        baseline = given.protocol.baseline
        if name == baseline:
            raise PlanError(
                f"{name} is the baseline of the suite {given.name}, with which it would be "
                f"compared; score it under another name, such as optax:{name}."
            )
        point = {key: [value] for key, value in (hyperparameters or {}).items()}
        asked = given.override(
            optimizers=[name] if baseline_store else [baseline, name],
            grids={name: point} if point else None,
            steps=steps,
            seeds=seeds,
            baseline_multiple=baseline_multiple,
        )
        _check_point(LoadedSuite.of(asked).optimizers[name], hyperparameters or {})
        horizon = asked.protocol.steps
        result = run(
            asked,
            out or writable_cache_dir("scores") / asked.name,
            baseline="decided" if by.decides(horizon) else "exhaustive",
            data=data,
            workers=workers,
            timing=False,
            rerun_changed=rerun_changed,
            progress=progress,
        )
    if result.missing:
        records = (result.failed or {}).values()
        why = {f"{record.get('kind')}: {record.get('message')}" for record in records}
        raise StoreError(
            f"{plural(result.missing, 'shard')} of {result.directory} could not be trained "
            f"({'; '.join(sorted(why)) or 'stopped'}). What is done is kept; call it again to try "
            "the rest again"
        )
    store = Store.open(result.directory, question_name=result.question, read_only=True)
    if baseline_store is not None:
        theirs = Selection(optimizers=[baseline], steps=horizon).open(baseline_store)
        store = as_one([store, theirs])
    # The smallest speedup that evaluations can tell from 0.
    least = asked.protocol.eval_every / horizon
    found = [_log2(task, definition, least) for task in compare(store)]
    known = [value for value in found if value is not None]
    if not known:
        raise PlanError(
            f"no task of the suite {asked.name} has a speedup: each is saturated, or neither "
            f"{name} nor any rate of {baseline} makes progress on it."
        )
    return float(np.exp2(np.mean(known)))


def _check_point(optimizer: OptimizerSpec, given: Mapping[str, object]) -> None:
    swept = [name for name, values in optimizer.grid.items() if len(values) > 1]
    if swept:
        allowed = f"a point, with a value for {', '.join(swept)} too"
        raise SpecError("hyperparameters", dict(given), allowed)


def _log2(task: TaskComparison, definition: str, least: float) -> float | None:
    """Return the speedup on a task; None where headlines leave it out."""
    (outcome,) = task.outcomes
    if outcome.status in ("failed", "missing", "incomplete"):
        raise StoreError(
            f"{outcome.cell.label} on {task.task.label} has no speedup ({outcome.status}): "
            f"{'; '.join(outcome.notes)}"
        )
    if task.saturated or outcome.status == "no progress":
        return None
    found = outcome.speedups.get(definition)
    if found is None or not (found.reached or (task.whole and task.whole.runs.whole)):
        raise StoreError(
            f"the sweep of the baseline on {task.task.label} stopped before it had reached the "
            f"loss of {outcome.cell.label}: leave baseline_store out, or run the baseline to its "
            "end there (velodrome run --baseline exhaustive)"
        )
    return float(np.log2(max(found.ratio, least)))
