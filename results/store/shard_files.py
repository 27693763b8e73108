"""`ShardFiles`: the files of a store's shards, each with one shard, or a pack of several."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from velodrome.foundation.errors import StoreError
from velodrome.results.store import shard_file
from velodrome.results.store.json_files import Problems
from velodrome.results.store.records import ShardMetadata
from velodrome.results.store.shard import ShardRecord


class ShardFiles:
    """Reads what shards say of themselves: footers alone, each once as long as it stays.

    Args:
      folder: Where the files are.
      foreign: Returns why a shard of some id does not belong here; empty if it does.
      aliases: Ids of cells in an older store's files, to those of today.
      problems: Gets the files that cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        foreign: Callable[[str, ShardMetadata], str],
        aliases: Mapping[str, str],
        problems: Problems,
    ):
        self.folder = folder
        self._foreign = foreign
        self._aliases = aliases
        self._problems = problems
        self._footers: dict[Path, tuple[tuple[int, int, int], tuple[ShardMetadata, ...]]] = {}

    def path(self, shard_id: str) -> Path:
        """Return the file that a shard is written to."""
        return self.folder / f"{shard_id}.parquet"

    def one(self, shard_id: str) -> ShardRecord | None:
        """Return the valid shard with that id, or None; add a bad file of it to the problems."""
        path = self.path(shard_id)
        if path.exists():
            for record in self.read(path):
                return record
        for pack in sorted(self.folder.glob(f"{shard_file.PACK}*.parquet")):
            for record in self.read(pack, only=shard_id):
                return record
        return None

    def all(self) -> tuple[ShardRecord, ...]:
        """Return all valid shards, also those of other questions, by id; only footers are read."""
        # A name with a leading dot is a file that another process is writing.
        paths = sorted(self.folder.glob("[!.]*"))
        found: dict[str, ShardRecord] = {}
        for path in paths:
            for record in self.read(path):
                found.setdefault(record.id, record)
        if not all(map(os.path.lexists, paths)):
            return self.all()  # another process has just packed them
        return tuple(found[name] for name in sorted(found))

    def count(self, path: Path) -> int:
        """Return how many shards a file says it has, valid or not."""
        return len(self._said(path))

    def read(self, path: Path, *, only: str | None = None) -> tuple[ShardRecord, ...]:
        """Return the valid shards of a file: one, or those of a pack, or one of these."""
        try:
            if path.suffix != ".parquet":
                raise StoreError(f"{path.name} is not a shard: it is no .parquet file")
            several = self._said(path)
        except StoreError as error:
            self._problems.add(path, error)
            return ()
        packed = path.name.startswith(shard_file.PACK)
        found = []
        for number, said in enumerate(several):
            metadata = self._renamed(said)
            name = metadata["shard"] if packed else path.stem
            if only is not None and name != only:
                continue
            if reason := self._foreign(name, metadata):
                self._problems.add(path, StoreError(f"{path.name} is foreign: {reason}"))
            else:
                found.append(ShardRecord(path, metadata, number if packed else None))
        return tuple(found)

    def _said(self, path: Path) -> tuple[ShardMetadata, ...]:
        """Return what the shards of a file say of themselves, read again only if it changed."""
        try:
            found = path.stat()
        except OSError:
            return ()  # it is gone: another process has packed it
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        if path not in self._footers or self._footers[path][0] != stamp:
            said = shard_file.read_metadata(path, report=self._problems.add)
            self._footers[path] = stamp, said
        return self._footers[path][1]

    def _renamed(self, metadata: ShardMetadata) -> ShardMetadata:
        known = self._aliases.get(metadata["cell"]["id"])
        if known is None:
            return metadata
        return {**metadata, "cell": {**metadata["cell"], "id": known}}
