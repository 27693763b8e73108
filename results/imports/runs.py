"""Runs in a foreign table, checked row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import SpecError
from velodrome.foundation.typed import parse_json
from velodrome.results.imports.table import ForeignTable
from velodrome.results.store.plan import Hyperparameters, Run

#: The stored type of a loss; what is larger has diverged.
_LARGEST = float(np.finfo(np.float32).max)
#: Steps and seeds are 32-bit integers.
LARGEST_SEED = 2**31 - 1
SPLITS = {"train": "loss", "heldout": "heldout_loss"}
"""The splits of a store, with the columns that they are read from."""


@dataclass
class ForeignRun:
    """A run, as its table has it.

    Attributes:
      losses: By split, the finite losses by step, ascending.
      rows: By split, the row of each of these steps.
      lost: Row and step of the first loss that is not finite; None if all are finite.
    """

    seed: int
    point: Hyperparameters
    losses: dict[str, dict[int, float]] = field(default_factory=lambda: {s: {} for s in SPLITS})
    rows: dict[str, dict[int, int]] = field(default_factory=lambda: {s: {} for s in SPLITS})
    lost: tuple[int, int] | None = None

    @property
    def run(self) -> Run:
        return canonical_json(dict(self.point)), self.seed

    @property
    def diverged_at(self) -> int | None:
        return None if self.lost is None else self.lost[1]


def read_runs(
    table: ForeignTable,
    columns: Mapping[str, str],
    *,
    seed: int | None = None,
    point: Hyperparameters | None = None,
) -> list[ForeignRun]:
    """Return the runs of a table, in the order in which they begin.

    Rows of several runs may be mixed, and a row may lack one of the losses.

    Args:
      columns: As `roles_of` returns them.
      seed: That of all rows, if no column has it; default 0.
      point: The hyperparameters of all rows, if no column has any.

    Raises:
      SpecError: A value is wrong; the message says where it stands, and why.
    """
    _refuse_both(columns, seed, point)
    runs: dict[Run, ForeignRun] = {}
    for row in range(len(table)):
        new = ForeignRun(_seed(table, columns, row, seed), _point(table, columns, row, point))
        run = runs.setdefault(new.run, new)
        step = _step(table, columns["step"], row)
        for split, role in SPLITS.items():
            if role in columns:
                _add(run, table, columns[role], row, split, step)
    return list(runs.values())


def _add(
    run: ForeignRun, table: ForeignTable, column: str, row: int, split: str, step: int
) -> None:
    value = _number(table, column, row)
    if value is None:
        return
    found, rows = run.losses[split], run.rows[split]
    if step in found:
        where = table.place(rows[step])
        raise SpecError(
            table.place(row, "step"), step, f"another one: {where} has a {column} there"
        )
    if rows and step < (last := next(reversed(rows))):
        allowed = f"after {last:,}, the step of {table.place(rows[last])} of this run"
        raise SpecError(table.place(row, "step"), step, allowed)
    finite = abs(value) <= _LARGEST
    if run.lost is None:
        if not finite:
            run.lost = row, step
    elif finite and step >= run.lost[1]:
        raise table.wrong(
            row,
            column,
            f"nan or left out: {table.place(run.lost[0])} has a loss that is not finite, and a "
            "run that has diverged is lost",
        )
    if finite:
        found[step], rows[step] = float(np.float32(value)), row


def _refuse_both(
    columns: Mapping[str, str], seed: int | None, point: Hyperparameters | None
) -> None:
    if seed is not None and "seed" in columns:
        raise SpecError("seed", seed, f"left out: the column {columns['seed']!r} has it")
    if "learning_rate" in columns and "point" in columns:
        raise SpecError("columns", dict(columns), "a point or a learning_rate, not both")
    for role in ("learning_rate", "point"):
        if point and role in columns:
            allowed = f"left out: the column {columns[role]!r} has them"
            raise SpecError("hyperparameters", dict(point), allowed)


def _number(table: ForeignTable, column: str, row: int) -> float | None:
    value = table.columns[column][row]
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise table.wrong(row, column, "a number, or nothing where it was not measured")


def _whole(table: ForeignTable, column: str, row: int, allowed: str) -> int:
    value = _number(table, column, row)
    if (
        value is None
        or not math.isfinite(value)
        or value != int(value)
        or not 0 <= value <= LARGEST_SEED
    ):
        raise table.wrong(row, column, allowed)
    return int(value)


def _step(table: ForeignTable, column: str, row: int) -> int:
    return _whole(table, column, row, "the number of updates that were made, from 0")


def _seed(table: ForeignTable, columns: Mapping[str, str], row: int, given: int | None) -> int:
    if "seed" in columns:
        return _whole(table, columns["seed"], row, "a whole number from 0")
    return given or 0


def _point(
    table: ForeignTable, columns: Mapping[str, str], row: int, given: Hyperparameters | None
) -> Hyperparameters:
    if "learning_rate" in columns:
        rate = _number(table, columns["learning_rate"], row)
        if rate is None or not 0 < rate < math.inf:
            raise table.wrong(row, columns["learning_rate"], "the rate of the run, above 0")
        return {"learning_rate": rate}
    if "point" not in columns:
        return dict(given or {})
    value = table.columns[columns["point"]][row]
    try:
        found = parse_json(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(number, bool | int | float | str) for number in found.values()
    ):
        allowed = 'a JSON object, such as {"learning_rate": 0.001}'
        raise table.wrong(row, columns["point"], allowed)
    return found
