"""Published results: stores with their report beside them, small enough for a repository.

``python scripts/publish_results.py STORE [STORE ...] DIRECTORY`` makes a folder with the files of
the store (several stores have a folder each), the headline, the summary, the report as a page and
as text, and ``SHA256SUMS`` of them all. ``--refresh DIRECTORY ...`` writes the reports of such
folders again, from the stores in them, with what is known today of the cost of meta-training.
:func:`check_published` computes the headline again from the stored curves.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from velodrome.foundation.errors import StoreError, VelodromeError
from velodrome.foundation.files import atomic_write_text, sha256_file
from velodrome.foundation.text import plural
from velodrome.optimizers.registry import optimizers
from velodrome.results.report.data import collect
from velodrome.results.report.write import report
from velodrome.results.store.combined import open_stores
from velodrome.results.store.provenance import KEY
from velodrome.results.store.records import CostRecord
from velodrome.results.store.store import Store

SUMS = "SHA256SUMS"
"""Hashes of all other files, in the format of ``sha256sum``."""
ELSEWHERE = "stores.txt"
"""Stores in other published folders that the report is of too, such as ``heldout-40/adam``."""
STORE_FOLDERS = ("questions", "shards", "timings", "failures")
REPORT_FILES = (
    "index.html", "report.md", "headline.csv", "summary.csv", "speedup_steps.svg",
    "speedup_seconds.svg",
)  # fmt: skip
TOLERANCE = 1e-6
"""The last digits of a headline depend on the processor and on the version of numpy."""


def publish(stores: Sequence[Path], directory: Path) -> None:
    """Copy stores and their report into a new folder.

    Stores in other folders beside it, which are published already, are named and not copied.

    Args:
      stores: Complete, and of the same tasks and protocol, with other optimizers or more seeds.
      directory: The new folder.

    Raises:
      StoreError: The folder exists, a store is not readable, damaged or not complete, the command
        that it records has the absolute path of some machine, or the stores do not belong together.
    """
    if directory.exists():
        raise StoreError(f"{directory} exists: remove it to publish the results again")
    for store in stores:
        _check_complete(store)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as name:
        new = Path(name) / directory.name
        named = {store: _place(store, directory.parent) for store in stores}
        others = [store for store in stores if named[store]]
        mine = [store for store in stores if not named[store]]
        copies = [new] if len(stores) == 1 else [new / store.name for store in mine]
        for store, copy in zip(mine, copies, strict=True):
            _copy(store, copy)
        if others:
            lines = [f"{named[store]}\n" for store in others]
            atomic_write_text(new / ELSEWHERE, "".join(lines))
        for copy in copies:
            record_costs(copy)
        refresh(new, [*others, *sorted(copies)])
        new.replace(directory)


def refresh(directory: Path, stores: Sequence[Path] = ()) -> None:
    """Write the report of a published folder, and the hashes of all its files.

    Args:
      stores: What the report is of; by default, `published_stores`.
    """
    with tempfile.TemporaryDirectory() as name:
        written = report(stores or published_stores(directory), name)
        if written.data.problems:
            damaged = ", ".join(problem.path.name for problem in written.data.problems)
            raise StoreError(f"files are damaged: {damaged}. Run the suite again to replace them")
        drawn = written.directory
        for file in REPORT_FILES:
            shutil.copyfile(drawn / file, directory / file)
    sign(directory)


def record_costs(directory: Path) -> None:
    """Write into a store what is known today of the cost of meta-training; no result depends on it.

    That of optimizers which have changed since stays as it was recorded.
    """
    for name in Store.open(directory).questions():
        store = Store.open(directory, question_name=name)
        before = store.manifest.get(KEY, [])
        if (today := [_known_today(cost) for cost in before]) != before:
            store.take_manifest({**store.manifest, KEY: today})


def _known_today(cost: CostRecord) -> CostRecord:
    ran = cost["optimizer"]
    try:
        spec = optimizers.get(ran["name"])
    except VelodromeError:
        return cost  # of a file that is not here
    found = spec.meta_training
    if found is None or (spec.version, spec.identity) != (ran["version"], ran["identity"]):
        return cost
    return {
        "optimizer": ran, "amount": found.amount, "unit": found.unit, "source": found.source,
        "detail": found.detail,
    }  # fmt: skip


def sign(directory: Path) -> None:
    """Write the hashes of all files of a published folder."""
    lines = [f"{sha256_file(directory / path)}  {path}\n" for path in _paths(directory)]
    atomic_write_text(directory / SUMS, "".join(lines))


def published_stores(directory: Path) -> list[Path]:
    """Return the stores of a published folder: itself, or those in it and those that it names."""
    if Store.exists(directory):
        return [directory]
    named = directory / ELSEWHERE
    names = named.read_text(encoding="utf-8").splitlines() if named.exists() else []
    inside = sorted(path for path in directory.iterdir() if path.is_dir() and Store.exists(path))
    return [*(directory.parent / name for name in names), *inside]


def _check_complete(store: Path) -> None:
    opened = Store.open(store)
    command = str(opened.manifest.get("command", ""))
    if absolute := [word for word in shlex.split(command) if Path(word).is_absolute()]:
        raise StoreError(
            f"{store} was made by `{command}`, and {absolute[0]} says nothing to others: "
            "run it with a relative --out"
        )
    missing = sum(not opened.has_shard(shard.id) for shard in opened.plan.shards)
    if missing:
        raise StoreError(f"{store} lacks {plural(missing, 'shard')}: continue with `{command}`")


def _place(store: Path, published: Path) -> str:
    """Return where a store is in the folders of ``published``; "" if it is not."""
    store, published = store.resolve(), published.resolve()
    if not store.is_relative_to(published):
        return ""
    place = store.relative_to(published)
    return place.as_posix() if (published / place.parts[0] / SUMS).exists() else ""


def _copy(store: Path, copy: Path) -> None:
    copy.mkdir(parents=True)
    for folder in STORE_FOLDERS:
        if (store / folder).is_dir():
            shutil.copytree(store / folder, copy / folder)


def check_published(directory: Path) -> list[str]:
    """Return what is wrong with what :func:`publish` made; nothing, if the list is empty.

    Every file must have its hash, and the headline must be that of the stored curves.
    """
    sums, there = _sums(directory), _paths(directory)
    wrong = [f"{path} is not in {SUMS}" for path in unlisted(directory)]
    wrong += [f"{path} is missing" for path in sums if path not in there]
    wrong += [
        f"{path} has another SHA-256"
        for path, digest in sums.items()
        if path in there and sha256_file(directory / path) != digest
    ]
    return wrong + _check_headline(directory)


def unlisted(directory: Path) -> list[str]:
    """Return the files of a published folder that have no hash: they were added to it."""
    sums = _sums(directory)
    return [path for path in _paths(directory) if path not in sums]


def _sums(directory: Path) -> dict[str, str]:
    """Return the hash of each file of a published folder, as it was signed."""
    lines = (directory / SUMS).read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def _check_headline(directory: Path) -> list[str]:
    stored = pd.read_csv(directory / "headline.csv")
    data = collect(open_stores(published_stores(directory)))
    found = data.with_provenance(data.headline).reset_index(drop=True)
    if list(stored) != list(found) or len(stored) != len(found):
        return ["headline.csv has other rows or columns than the stored curves give"]
    wrong = []
    for name in found:
        if pd.api.types.is_float_dtype(found[name]):
            same = np.isclose(stored[name], found[name], rtol=TOLERANCE, atol=0, equal_nan=True)
        else:
            same = stored[name].astype(str) == found[name].astype(str)
        wrong += [
            f"headline.csv, row {row}, {name}: {stored[name][row]}, but the stored curves give "
            f"{found[name][row]}"
            for row in np.flatnonzero(~np.asarray(same, bool))
        ]
    return wrong


def _paths(directory: Path) -> list[str]:
    """Return the files that are published; hidden ones, such as locks, are of a run at work."""
    return sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and path.name != SUMS and not path.name.startswith(".")
    )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python scripts/publish_results.py STORE [STORE ...] DIRECTORY | --refresh")
    try:
        if sys.argv[1] == "--refresh":
            folders = [Path(folder) for folder in sys.argv[2:]]
            for folder in folders:
                # Before any report: a report may be of stores in other folders.
                for store in published_stores(folder):
                    if store.is_relative_to(folder):
                        record_costs(store)
            for folder in folders:
                refresh(folder)
        else:
            *several, last = map(Path, sys.argv[1:])
            publish(several, last)
    except VelodromeError as error:
        sys.exit(str(error))
