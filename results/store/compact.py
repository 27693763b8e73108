"""Many small files of a store become few, and stores of before become stores of today.

A file is removed only after all that it holds is there, whole, in its new place.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_json
from velodrome.results.store import legacy, question, shard_file
from velodrome.results.store.json_files import PACKED, Json, Problem, needed, read_json
from velodrome.results.store.legacy import Identify
from velodrome.results.store.plan import Shard, shard_id
from velodrome.results.store.records import ShardMetadata
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import FAILED, Store

#: The most shards of a pack, and bytes of their rows in memory (or one shard).
PACK_SHARDS, PACK_BYTES = 512, 256 * 2**20

_OLD_FILES = ("manifest.json", "plan.json", "suite.json")


@dataclass(frozen=True)
class Compacted:
    """What was done.

    Attributes:
      before: Files of the store.
      files: Files of the store now.
      shards: How many are packed.
      problems: Files that were left as they are.
    """

    before: int
    files: int
    shards: int
    problems: tuple[Problem, ...]


def compact(
    directory: Path, *, identify: Identify | None = None, drop_states: bool = False
) -> Compacted:
    """Pack the shards and timings of a store; other processes may read it, and train.

    Args:
      identify: Gives cells of an old store their ids; by default runs belong to their horizon.
      drop_states: Whether to remove the ends of runs: longer ones then start over.

    Raises:
      StoreError: There is no store, or it is damaged.
      VelodromeError: It cannot be written.
    """
    before = _count(directory)
    if legacy.exists(directory):
        _convert(directory, identify)
    elif question.paths(directory):
        for name in _OLD_FILES:  # of a conversion that was killed
            (directory / name).unlink(missing_ok=True)
    store = Store.open(directory)
    records = store.shards()
    packs = _write_packs(directory, ((record, record.metadata) for record in records))
    _pack_records(directory / "timings")
    packed = {record.id for path in packs for record in store.files.read(path)}
    for path in sorted((directory / "shards").glob("[!.]*.parquet")):
        if path not in packs and _all_of(store, path, packed):
            path.unlink(missing_ok=True)
    if drop_states:
        for path in (directory / "states").glob("[!.]*"):
            path.unlink(missing_ok=True)
    return Compacted(before, _count(directory), len(packed), store.problems)


def _all_of(store: Store, path: Path, packed: set[str]) -> bool:
    """Return whether all that a file holds is packed: none of it is damaged or foreign."""
    there = [record.id for record in store.files.read(path)]
    return bool(there) and len(there) == store.files.count(path) and packed.issuperset(there)


def _count(directory: Path) -> int:
    return sum(path.is_file() for path in directory.rglob("*"))


def _convert(directory: Path, identify: Identify | None) -> None:
    """Write what an old store has in the format of today, then remove its files."""
    with needed():
        asked, aliases = legacy.read(directory, report=None, identify=identify)
    old = Store(directory, asked, read_only=True, aliases=aliases)
    new = {shard.id: _of_today(shard) for shard in asked.plan.shards}
    records = [record for record in old.shards() if record.id in new]
    failures = {name: shard.id for name, shard in new.items()}
    renamed = [("failures", name, known) for name, known in failures.items()]
    renamed += [("timings", name, known) for name, known in aliases.items()]
    renamed += [("timings", f"{name}{FAILED}", f"{it}{FAILED}") for name, it in aliases.items()]
    if not question.paths(directory):
        _write_packs(directory, ((one, _metadata_of_today(one, new[one.id])) for one in records))
        for folder, name, known in renamed:
            with contextlib.suppress(StoreError):  # missing; or damaged, so that it stays
                content = read_json(directory / folder / f"{name}.json")
                if isinstance(content, dict):
                    about = {"cell": known} if folder == "timings" else {"shard": known}
                    about["cell"] = aliases.get(content.get("cell", ""), about.get("cell", ""))
                    atomic_write_json(directory / folder / f"{known}.json", {**content, **about})
        plan = dataclasses.replace(asked.plan, shards=tuple(new.values()))
        path = question.next_path(directory, question.key_of(asked.manifest, plan))
        question.write(dataclasses.replace(asked, path=path, plan=plan))
    today = Store.open(directory)
    for record in records:
        if today.has_shard(new[record.id].id):
            record.path.unlink()
    for folder, name, known in renamed:
        if name != known and (directory / folder / f"{known}.json").exists():
            (directory / folder / f"{name}.json").unlink(missing_ok=True)
    for name in _OLD_FILES:
        (directory / name).unlink(missing_ok=True)


def _of_today(shard: Shard) -> Shard:
    known = shard_id(
        shard.cell, mode=shard.mode, eval_slice=shard.eval_slice, block=shard.block,
        lanes=shard.lanes, stop=shard.stop,
    )  # fmt: skip
    return dataclasses.replace(shard, id=known)


def _metadata_of_today(record: ShardRecord, shard: Shard) -> Json:
    left_out = ("suite_hash", "protocol_hash", "plan_hash")
    said = {name: value for name, value in record.metadata.items() if name not in left_out}
    how = {name: getattr(shard, name) for name in ("mode", "eval_slice", "block", "start", "stop")}
    return {**said, **how, "shard": shard.id}


def _write_packs(
    directory: Path, shards: Iterable[tuple[ShardRecord, Json | ShardMetadata]]
) -> set[Path]:
    """Write packs of those shards whose rows are whole, and return their paths."""
    packs: set[Path] = set()
    together: list[tuple[pa.Table, Json]] = []

    def flush() -> None:
        if not together:
            return
        name = content_hash([said["shard"] for _, said in together])[:12]
        path = directory / "shards" / f"{shard_file.PACK}{name}.parquet"
        if not path.exists():
            shard_file.write_pack(path, together)
        for group, (table, _) in enumerate(together):
            if not _same(shard_file.read_table(path, group), table):
                raise StoreError(f"{path} was not written as it should be: delete it, and repeat")
        packs.add(path)
        together.clear()

    size = 0
    for record, said in shards:
        try:
            table = record.table()
        except StoreError:
            continue  # it stays as it is, and reports name it
        size += table.nbytes
        if len(together) == PACK_SHARDS or (together and size > PACK_BYTES):
            flush()
            size = table.nbytes
        together.append((table, shard_file.plain(said)))
    flush()
    return packs


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Compare bit for bit: NaN is equal to itself."""
    if one.column_names != other.column_names or len(one) != len(other):
        return False
    pairs = zip(one.columns, other.columns, strict=True)
    return all(
        mine.cast(pa.string()).equals(theirs.cast(pa.string()))
        if pa.types.is_dictionary(mine.type)
        else mine.to_numpy().tobytes() == theirs.to_numpy().tobytes()
        for mine, theirs in pairs
    )


def _pack_records(folder: Path) -> None:
    """Put the records of a folder into one file, but those that a later record clears."""
    found: dict[str, object] = {}
    paths = [
        path
        for path in sorted(folder.glob("[!.]*.json"))
        if path.name != PACKED and not path.stem.endswith(FAILED)
    ]
    for path in [folder / PACKED, *paths]:
        try:
            content = read_json(path)
        except StoreError:
            continue  # missing; or damaged, so that reports name it
        found |= (
            content if path.name == PACKED and isinstance(content, dict) else {path.stem: content}
        )
    if not paths:
        return
    atomic_write_json(folder / PACKED, found)
    for path in paths:
        if path.stem in found:
            path.unlink()
