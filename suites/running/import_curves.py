"""Put curves that were made elsewhere, as by PyTorch, into a store of results."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from velodrome.foundation.errors import SpecError, StoreError, UnknownNameError
from velodrome.foundation.files import exclusive_directory, resolved, sha256_file
from velodrome.results.imports.columns import roles_of
from velodrome.results.imports.fitting import fitted
from velodrome.results.imports.runs import LARGEST_SEED, read_runs
from velodrome.results.imports.table import read_table
from velodrome.results.store.identity import measurement
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import Hyperparameters
from velodrome.results.store.records import ImportRecord
from velodrome.results.store.store import Store
from velodrome.suites.catalog import as_suite
from velodrome.suites.planning.plan import imported_cell
from velodrome.suites.running.field import begin, has_field, stored_field
from velodrome.suites.running.imported_store import already_there, write_runs
from velodrome.suites.suite import Suite
from velodrome.taskgen.spec import TaskSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,63}")
_HASH_DIGITS = 8


@dataclass(frozen=True)
class ImportedCurves:
    """What an import did.

    Attributes:
      label: The optimizer's name in tables and figures, which says that it is imported.
      task: The task's name in the suite.
      task_hash: The hash of its spec.
      added: Runs that are new in the store.
      already: Runs that it had, with the same losses.
      left_out: Values at steps at which the suite has no evaluation.
      heldout: Whether there are held-out losses.
      unread: Columns of the file that were not read.

    Examples:
      >>> found = velodrome.import_curves(  # doctest: +SKIP
      ...     "adam.csv", suite="sprint", task="mlp-02-digits", optimizer="mine", out="torch"
      ... )
      >>> found.label  # doctest: +SKIP
      'mine (imported)'
    """

    directory: Path
    label: str
    task: str
    task_hash: str
    added: int
    already: int
    left_out: int
    heldout: bool
    unread: tuple[str, ...]


def import_curves(
    path: str | os.PathLike[str],
    *,
    task: str | TaskSpec,
    optimizer: str,
    out: str | os.PathLike[str],
    suite: Suite | str | None = None,
    field: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int | None = None,
    hyperparameters: Hyperparameters | None = None,
    version: int = 1,
    made_by: str = "",
) -> ImportedCurves:
    """Put the curves of one task and one optimizer from a table into a store.

    They are marked as imported in every table, figure and caption, count in steps and never in
    seconds, and their seeds are not taken for those of other optimizers. The same file again
    changes nothing. After an interruption, call it again.

    Args:
      path: A CSV or Parquet file with the columns ``step`` and ``loss``, and perhaps
        ``heldout_loss``, ``seed``, and ``learning_rate`` or ``point`` (JSON of all
        hyperparameters). The names that Weights & Biases exports are known too.
      task: The task in the suite: its name, its spec, or 8 or more digits of its spec's hash.
      optimizer: A name for it.
      out: The store, which is made if there is none.
      suite: What a new store is of; an existing one must be of it.
      field: A store whose runs a new one begins with. Default: the field that comes with the suite,
        if there is one.
      columns: Columns of other names: ``{"loss": "train/nll"}``.
      seed: That of the runs, if no column has it. Default: 0.
      hyperparameters: Those of the runs, if no column has any.
      version: A number for the optimizer's code, to be raised when it changes.
      made_by: What made the curves, for the record, such as ``"PyTorch 2.9"``.

    Raises:
      SpecError: A value in the file is wrong; the message has its line and the reason. Or an
        argument is.
      UnknownNameError: The suite has no such task.
      StoreError: The curves lack steps at which the suite evaluates, or have more than a run; the
        store is of another suite, or has these runs with other losses.
      VelodromeError: The store cannot be written.

    Examples:
      >>> found = velodrome.import_curves(
      ...     "torch.csv", task="tiny-mlp", optimizer="torch-adam", suite="smoke", out="runs/torch"
      ... )  # doctest: +SKIP
      >>> found.added  # doctest: +SKIP
    """
    if not _NAME.fullmatch(optimizer):
        raise SpecError("optimizer", optimizer, "a name of letters, digits and .-_+() up to 64")
    if type(version) is not int or version < 1:
        raise SpecError("version", version, "a whole number from 1")
    if seed is not None and (type(seed) is not int or not 0 <= seed <= LARGEST_SEED):
        raise SpecError("seed", seed, f"a whole number from 0 to {LARGEST_SEED}")
    file, place = resolved(path), resolved(out)
    beginning = _beginning(place, suite, field)
    chosen = as_suite(suite or "") if beginning is None else Suite.from_json({**beginning.suite})
    index = _index(chosen, task)
    table = read_table(file)
    roles = roles_of(list(table.columns), columns, file=table.name)
    horizon = chosen.protocol.steps
    evaluations = {s: chosen.protocol.evaluations(horizon, s) for s in ("train", "heldout")}
    runs = [
        fitted(run, table, evaluations=evaluations, suite=f"the suite {chosen.name}")
        for run in read_runs(table, roles, seed=seed, point=hyperparameters)
    ]
    ref = OptimizerRef.of_import(optimizer, version)
    record: ImportRecord = {
        "file": file.name,
        "sha256": sha256_file(file),
        "columns": roles,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "left_out": sum(run.left_out for run in runs),
    }
    if made_by:
        record["made_by"] = made_by
    with exclusive_directory(place, patience=60.0):
        if beginning is not None and not Store.exists(place):
            begin(place, beginning)
        store = Store.open(place) if Store.exists(place) else None
        already = already_there(store, imported_cell(chosen, index, ref, ()), runs)
        new = [run for run in runs if run.run not in already]
        write_runs(place, store, chosen, index, ref, new, record)
    return ImportedCurves(
        place,
        ref.label,
        chosen.tasks[index].label,
        chosen.tasks[index].spec_hash,
        len(new),
        len(runs) - len(new),
        record["left_out"],
        any(run.losses["heldout"] for run in runs),
        tuple(name for name in table.columns if name not in roles.values()),
    )


def _beginning(
    place: Path, suite: Suite | str | None, field: str | os.PathLike[str] | None
) -> Store | None:
    """Return the store that the curves come into, or whose runs a new one begins with."""
    if Store.exists(place):
        Store.check_current(place)
        there = Store.open(place, read_only=True)
        if suite is not None:
            _check_suite(there, as_suite(suite))
        if field is not None:
            raise SpecError("field", os.fspath(field), f"left out: the store {place} exists")
        return there
    if suite is None:
        allowed = f"named, as in --suite sprint, because there is no store {place} yet"
        raise SpecError("suite", None, allowed)
    wanted = as_suite(suite)
    if field is None and not has_field(wanted.name):
        return None
    found = stored_field(wanted.name, field)
    _check_suite(found, wanted)
    return found


def _check_suite(there: Store, wanted: Suite) -> None:
    known = Suite.from_json(dict(there.suite))
    tasks = [[task.spec_hash for task in suite.tasks] for suite in (known, wanted)]
    rules = [
        (suite.protocol.steps, measurement(suite.protocol.to_json())) for suite in (known, wanted)
    ]
    if tasks[0] != tasks[1] or rules[0] != rules[1]:
        what = "tasks" if tasks[0] != tasks[1] else "steps or evaluations"
        raise StoreError(
            f"{there.directory} is of the suite {known.name}, whose {what} are not those of "
            f"{wanted.name} as it was given: leave the suite out, or choose another directory"
        )


def _index(suite: Suite, task: str | TaskSpec) -> int:
    wanted = task.spec_hash if isinstance(task, TaskSpec) else task
    for index, known in enumerate(suite.tasks):
        digits = len(wanted) >= _HASH_DIGITS and known.spec_hash.startswith(wanted)
        if digits or known.label == wanted:
            return index
    name = f"{task.label} (spec {wanted[:12]})" if isinstance(task, TaskSpec) else task
    known = [task.label for task in suite.tasks]
    raise UnknownNameError(f"task of the suite {suite.name}", name, known)
