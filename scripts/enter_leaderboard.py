"""Check the store of a race, and add its optimizer to the published field of ``sprint``.

``python scripts/enter_leaderboard.py race/NAME`` checks that nothing is missing, that the field in
the store is the published one, and that the first run of one task has the same curve when it is
trained again here; then it adds the runs, and writes the reports and the leaderboard again.
``--check`` only checks. The task follows from the results, so nobody can choose it. Of a published
folder, such as that of a pull request, the hashes and the headline are checked too.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts import leaderboard
from scripts.publish_results import SUMS, check_published, refresh, unlisted
from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError, VelodromeError
from velodrome.foundation.files import atomic_write_json
from velodrome.foundation.text import plural
from velodrome.optimizers.learned.weights.published import PUBLISHED
from velodrome.results.store.cell import Cell
from velodrome.results.store.compact import compact
from velodrome.results.store.question import paths
from velodrome.results.store.store import Store
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite

#: Losses of another machine drift apart by rounding, and training is chaotic: the first steps agree
#: closely, the last loss roughly.
EARLY_STEPS, EARLY, LATE = 20, 1e-3, 0.25


def entrant(store: Store, field: Store) -> str:
    """Return the name of the optimizer that a race has and its field has not.

    Raises:
      StoreError: There is none, or more than one.
    """
    known = {cell.name for cell in field.cells()}
    new = sorted({cell.name for cell in store.cells()} - known)
    if len(new) != 1:
        raise StoreError(f"{store.directory} has {plural(len(new), 'new optimizer')}, not one")
    return new[0]


def problems(store: Store, field: Store, name: str) -> Iterator[str]:
    """Yield what is wrong with the store of a race; nothing is trained."""
    missing = sum(not store.has_shard(shard.id) for shard in store.plan.shards)
    if missing:
        yield f"{plural(missing, 'shard')} are missing: run the same race again"
    for shard in field.shards():
        there = store.record(shard.id)
        # pandas, because to Arrow NaN is not NaN.
        if there is None or not there.table().to_pandas().equals(shard.table().to_pandas()):
            yield f"the field's shard {shard.id} is missing or has other losses"
    if ".py:" in name:
        yield f"{name} is a file of yours: put the optimizer into optimizers/, and race it again"
    if set(name.split(":")) & PUBLISHED.keys() or name.startswith("velo:"):
        yield f"{name} has weights that are not in the package: nobody could race without them"
    if (store.directory / SUMS).is_file():
        yield from _unlike_published(store.directory)


def _unlike_published(directory: Path) -> Iterator[str]:
    """Yield what is wrong with a folder that has hashes, as published folders do."""
    if new := unlisted(directory):
        yield (
            f"{plural(len(new), 'file')} of {directory}, such as {new[0]}, are not in its {SUMS}: "
            "if you raced in a copy of a published folder, remove that list; if you publish the "
            f"folder, write it again by `python scripts/publish_results.py --refresh {directory}`"
        )
    else:
        yield from check_published(directory)


def retrained(store: Store, name: str) -> Iterator[str]:
    """Train the first run of one task again, and yield how its curve differs."""
    mine = [cell for cell in store.cells() if cell.name == name]
    losses = [cell.curves().values for cell in mine]
    digest = content_hash([value.tobytes().hex() for value in losses])
    cell = mine[int(digest[:8], 16) % len(mine)]
    with tempfile.TemporaryDirectory() as folder:
        run(first_run(store, cell), folder, workers=0, timing=False)
        (again,) = Store.open(folder, read_only=True).cells()
        yield from difference(cell, again)


def first_run(store: Store, cell: Cell) -> Suite:
    """Return the suite of the first run of a cell alone."""
    suite = Suite.from_json(dict(store.suite))
    point = {name: [value] for name, value in cell.planned[0].hyperparameters.items()}
    protocol = dataclasses.replace(
        suite.protocol, seeds=1, grids={cell.name: point} if point else {}
    )
    task = suite.tasks[cell.task.index]
    alone = suite.part([task], name=suite.name)
    return dataclasses.replace(alone, optimizers=(cell.name,), protocol=protocol)


def difference(cell: Cell, again: Cell) -> Iterator[str]:
    """Yield how the first run of a cell differs from the same one of another store."""
    old, new = cell.curves(), again.curves()
    row = next(at for at, lane in enumerate(old.lanes) if lane.run == new.lanes[0].run)
    steps, at, other = np.intersect1d(new.steps, old.steps, return_indices=True)
    ours, theirs = new.values[0, at], old.values[row, other]
    early = steps <= EARLY_STEPS
    if not np.allclose(ours[early], theirs[early], rtol=EARLY, equal_nan=True):
        yield f"{cell.task.label}: the first losses are {ours[early]}, not {theirs[early]}"
    last, said = (float(np.nanmean(values[-10:])) for values in (ours, theirs))
    if not np.isclose(last, said, rtol=LATE, equal_nan=True):
        yield f"{cell.task.label}: the loss ends at {last:.4g}, not at {said:.4g}"


def add(store: Store, directory: Path, name: str) -> None:
    """Add the runs of an optimizer to the published field, and write everything again."""
    field = Store.open(directory, read_only=True)
    for record in store.shards():
        if record.optimizer.name == name:
            shutil.copy2(record.path, directory / "shards")
    timings = store.timings
    for cell in store.cells():
        if cell.name == name and cell.id in timings:
            (directory / "timings").mkdir(exist_ok=True)
            record = dict(timings[cell.id])
            atomic_write_json(directory / "timings" / f"{cell.id}.json", record)
    names = [str(known) for known in field.suite.get("optimizers", ())]
    suite = Suite.from_json(dict(field.suite))
    grids = {**suite.protocol.grids, **Suite.from_json(dict(store.suite)).protocol.grids}
    run(
        suite, directory, optimizers=[*names, name], grid=grids or None, baseline="exhaustive",
        workers=0, timing=False,
    )  # fmt: skip
    compact(directory, drop_states=True)
    for before in paths(directory)[:-1]:
        before.unlink()
    refresh(directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and add unless only to check; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python scripts/enter_leaderboard.py", description=__doc__
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args(arguments)
    store = Store.open(given.store, read_only=True)
    field = Store.open(leaderboard.FIELD, read_only=True)
    name = entrant(store, field)
    wrong = [*problems(store, field, name)] or [*retrained(store, name)]
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        return 1
    print(f"{name}: nothing is missing, the field is the published one, and one task repeats.")
    if not given.check:
        add(store, leaderboard.FIELD, name)
        leaderboard.main()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VelodromeError as error:
        sys.exit(str(error))
