"""Stored fields: the runs of tuned baselines and of rivals that nobody needs to train again."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import resolved
from velodrome.foundation.text import plural
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.suite import Suite

#: Stores of fields that come with the package, in folders named after their suites.
PUBLISHED = Path(__file__).parents[2] / "results" / "published"


def has_field(suite: str) -> bool:
    """Return whether a field of the suite comes with the package."""
    return Store.exists(PUBLISHED / suite)


def stored_field(suite: str, field: str | os.PathLike[str] | None = None) -> Store:
    """Return the field of a suite, for reading: a store of the user's, or what comes with it.

    Raises:
      StoreError: There is none, or it is of another suite, not complete, or of code or data that
        have changed since.
    """
    how = f"velodrome run {suite} --out FIELD --baseline exhaustive"
    if field is None and not has_field(suite):
        load_suite(suite)  # the error of a mistyped name has the closest ones
        raise StoreError(
            f"no stored field comes with the suite {suite}: give a store of your own with its "
            f"baseline ({how}), as --field FIELD"
        )
    store = Store.open(PUBLISHED / suite if field is None else resolved(field), read_only=True)
    found = store.manifest["suite"].get("name")
    missing = sum(not store.has_shard(shard.id) for shard in store.plan.shards)
    planned = make_plan(Suite.from_json(dict(store.suite))).cells
    changed = {cell.id for cell in planned} - {cell.id for cell in store.plan.cells}
    if found != suite:
        problem = f"is of the suite {found}, not of {suite}"
    elif missing:
        problem = f"lacks {plural(missing, 'shard')}"
    elif changed:
        problem = "has results of optimizers, families or data that are others now"
    else:
        return store
    raise StoreError(f"the field {store.directory} {problem}. Make it again: {how}")


def begin(place: Path, field: Store) -> None:
    """Copy the runs of the field into a store, new or of earlier races."""
    # A store exists once it has a question: a copy that was interrupted is made again.
    shutil.copytree(field.directory / "shards", place / "shards", dirs_exist_ok=True)
    if Store.exists(place):
        return
    with tempfile.TemporaryDirectory(dir=place, prefix=".field-") as name:
        questions = Path(name) / "questions"
        shutil.copytree(field.directory / "questions", questions)
        questions.replace(place / "questions")
