"""``velodrome import``: curves that were made elsewhere, put into a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import grids, option, run_command
from velodrome.commands._tables import console
from velodrome.foundation.errors import SpecError
from velodrome.foundation.text import plural

if TYPE_CHECKING:
    from velodrome.taskgen.spec import TaskSpec

EXAMPLES = (
    "velodrome import adam.csv --suite sprint --task mlp-02-digits --optimizer mine --out torch",
    "velodrome import wandb.csv --task 7526353a --optimizer mine --out torch --seed 1",
    "velodrome import log.csv --task tiny-mlp --optimizer mine --out torch --columns loss=nll",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(import_curves, arguments, name="import", examples=EXAMPLES)


def import_curves(
    file: Positional[Annotated[Path, arg(metavar="FILE")]],
    /,
    *,
    task: Annotated[str, option("TASK")],
    optimizer: Annotated[str, option("NAME")],
    out: Annotated[Path, option("DIR")],
    suite: Annotated[str | None, option("NAME")] = None,
    field: Annotated[Path | None, option("DIR")] = None,
    columns: Annotated[tuple[str, ...], option("WHAT=COLUMN")] = (),
    seed: Annotated[int | None, option("N")] = None,
    point: Annotated[tuple[str, ...], option("KEY=VALUE")] = (),
    optimizer_version: Annotated[int, option("N")] = 1,
    made_by: Annotated[str, option("TEXT")] = "",
) -> int:
    """Put curves that were made elsewhere, such as by PyTorch, into a store.

    The file has the columns step and loss, and perhaps heldout_loss, seed, and learning_rate or
    point. Exports of Weights & Biases are understood. Every step at which the suite evaluates must
    be there: nothing is interpolated. Imported curves are marked wherever they appear. They count
    in steps, never in seconds. The same file again changes nothing.

    Args:
      file: A CSV or Parquet file.
      task: The task in the suite: its name, 8 or more digits of its spec's hash, or a file of its
        spec.
      optimizer: A name for the optimizer, whose code is not here.
      out: The store: a directory, new or with results.
      suite: What a new store is of: a name or a file.
      field: A store whose runs a new one begins with. Default: the field that comes with the suite,
        if there is one.
      columns: Columns of other names, such as loss=train/nll.
      seed: The seed of these runs, if no column has it. Default: 0.
      point: Hyperparameters of these runs, if no column has any, such as learning_rate=1e-3.
      optimizer_version: A number for the optimizer's code: raise it when that changes. Default: 1.
      made_by: What made the curves, for the record, such as "PyTorch 2.9".
    """
    found = velodrome.import_curves(
        file,
        task=_task(task),
        optimizer=optimizer,
        out=out,
        suite=suite,
        field=field,
        columns=dict(_pair("--columns", word) for word in columns),
        seed=seed,
        hyperparameters=_point(point),
        version=optimizer_version,
        made_by=made_by,
    )
    heldout = "with" if found.heldout else "without"
    lines = [
        f"{found.label} on {found.task} (spec {found.task_hash[:12]}): "
        f"{plural(found.added, 'run')} added, {found.already} there already, {heldout} held-out "
        f"losses. {plural(found.left_out, 'value')} at other steps left out.",
    ]
    if found.unread:
        lines.append(f"Columns that were not read: {', '.join(found.unread)}.")
    lines.append(f"It compares in steps, never in seconds: velodrome report {found.directory}")
    for line in lines:
        console().print(line, markup=False)
    return 0


def _task(text: str) -> str | TaskSpec:
    """Return the spec of a file or of JSON; other words name a task of the store's suite."""
    if not (text.lstrip().startswith("{") or ".json" in text or ".py:" in text):
        return text
    from velodrome.commands import _tasks  # noqa: PLC0415 - help needs no numpy

    return _tasks.find_task(text)


def _pair(field: str, word: str) -> tuple[str, str]:
    what, _, name = word.partition("=")
    if not what or not name:
        raise SpecError(field, word, "of the form WHAT=COLUMN, such as loss=train/nll")
    return what, name


def _point(words: Sequence[str]) -> dict[str, object]:
    found = grids((f"point.{word}" for word in words), "--point").get("point", {})
    for name, values in found.items():
        if len(values) > 1:
            raise SpecError("--point", f"{name}={values}", "one value: these runs have one point")
    return {name: value for name, (value,) in found.items()}
