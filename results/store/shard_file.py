"""Shards of results as Parquet files: rows of numbers, provenance in the metadata.

A run writes a file for each shard. A pack holds many: a row group for each, in the order in which
the metadata lists them.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_path
from velodrome.foundation.typed import parse_json
from velodrome.results.store.json_files import SCHEMA, Json, Report, check_schema, checked
from velodrome.results.store.records import ShardMetadata

T = TypeVar("T")

METADATA_KEY = b"velodrome"
#: Of a pack: the JSON of all its shards, compressed, because most of it is alike.
PACK_KEY = b"velodrome.pack"
#: The names of packs begin so.
PACK = "pack-"

_TEXT = pa.dictionary(pa.int32(), pa.string())
_COLUMNS = {
    "lane": pa.int32(),
    "step": pa.int32(),
    "split": _TEXT,
    "metric": _TEXT,
    "value": pa.float32(),
}
# Losses hardly ever repeat, so a dictionary of them would only cost; the other columns do.
_ENCODING: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["lane", "step", "split", "metric"],
    "column_encoding": {"value": "BYTE_STREAM_SPLIT"},
    "write_page_checksum": True,
}


def write(path: Path, columns: Mapping[str, np.ndarray], metadata: Json) -> None:
    """Write a shard under a temporary name and rename it: readers see all of it or nothing.

    Args:
      path: The final name.
      columns: Equally long arrays ``lane``, ``step``, ``split``, ``metric``, ``value``.
      metadata: Plain JSON; ``schema`` is added.

    Raises:
      StoreError: Columns or metadata are not those of a shard.
      VelodromeError: The file cannot be written; nothing is left behind.
    """
    metadata = {"schema": SCHEMA, **metadata}
    said = checked(ShardMetadata, metadata, path)
    table = _table(columns, {lane.lane for lane in said["lanes"]}, metadata)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file, **_ENCODING)


def _table(columns: Mapping[str, np.ndarray], known: set[int], metadata: Json) -> pa.Table:
    if set(columns) != set(_COLUMNS):
        raise StoreError(f"a shard has the columns {sorted(_COLUMNS)}, not {sorted(columns)}")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise StoreError(f"the columns of a shard must be equally long, not {lengths}")
    extra = {int(lane) for lane in np.unique(columns["lane"])} - known
    if extra:
        raise StoreError(f"rows of lanes {sorted(extra)}, which the metadata does not list")
    arrays = []
    for name, kind in _COLUMNS.items():
        column = np.asarray(columns[name])
        arrays.append(_text(column) if kind == _TEXT else pa.array(column).cast(kind))
    try:
        text = canonical_json(dict(metadata))
    except (TypeError, ValueError) as error:
        raise StoreError(f"the metadata of a shard must be plain JSON: {error}") from error
    schema = pa.schema(list(_COLUMNS.items()), metadata={METADATA_KEY: text.encode()})
    return pa.table(arrays, schema=schema)


def _text(column: np.ndarray) -> pa.Array:
    """Dictionary-encode strings by way of integer codes: millions of rows stay cheap."""
    names, codes = np.unique(column.astype(str), return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), pa.array([str(name) for name in names], pa.string())
    )


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a shard as JSON."""
    nested = {**metadata["cell"]}
    for name in ("task", "optimizer"):
        nested[name] = dict(vars(nested[name]))
    return {**metadata, "cell": nested, "lanes": [dict(vars(x)) for x in metadata["lanes"]]}


def write_pack(path: Path, shards: Sequence[tuple[pa.Table, Json]]) -> None:
    """Write several shards into one file, atomically: their rows, and what each says about itself.

    Raises:
      VelodromeError: The file cannot be written; nothing is left behind.
    """
    said = [dict(metadata) for _, metadata in shards]
    packed = zlib.compress(canonical_json(said).encode())
    schema = pa.schema(list(_COLUMNS.items()), metadata={PACK_KEY: packed})
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        pq.ParquetWriter(file, schema, **_ENCODING) as writer,
    ):
        for table, _ in shards:
            rows = table.replace_schema_metadata(schema.metadata)
            writer.write_table(rows, row_group_size=max(1, len(table)))


def read_metadata(path: Path, *, report: Report | None = None) -> tuple[ShardMetadata, ...]:
    """Read and check what the shards of a file say about themselves; only its footer is read.

    A pack has several, in the order of its row groups. With ``report``, damaged parts that nothing
    depends on are left out and reported.

    Raises:
      StoreError: It is truncated, foreign, or of another schema; the message says which.
    """
    footer = _read(path, pq.read_metadata, f"{path.name} is truncated or not a Parquet file")
    schema = footer.schema.to_arrow_schema()
    known = schema.metadata or {}
    if METADATA_KEY not in known and PACK_KEY not in known:
        raise StoreError(f"{path.name} is a foreign Parquet file: it has no velodrome metadata")
    try:
        if METADATA_KEY in known:
            several = [parse_json(known[METADATA_KEY])]
        else:
            several = parse_json(zlib.decompress(known[PACK_KEY]))
            if not isinstance(several, list) or len(several) != footer.num_row_groups:
                raise ValueError("it does not list a shard for each row group")
    except (ValueError, zlib.error, MemoryError) as error:
        raise StoreError(f"{path.name} has damaged metadata ({error})") from error
    for metadata in several:
        if isinstance(metadata, dict):
            check_schema(metadata.get("schema"), what=path.name)
    said = tuple(checked(ShardMetadata, one, path, report=report) for one in several)
    found = dict(zip(schema.names, schema.types, strict=True))
    wrong = [name for name, kind in _COLUMNS.items() if found.get(name) != kind]
    if wrong:
        raise StoreError(f"{path.name} is not a shard: wrong or missing {', '.join(wrong)}")
    return said


def read_table(path: Path, group: int | None = None) -> pa.Table:
    """Read all rows of a file, or those of one row group, in the order of the file.

    Returns:
      Columns ``lane``, ``step``, ``split``, ``metric``, ``value``.

    Raises:
      StoreError: The file is damaged (pages are checked against their checksums).
    """

    def rows(file: Any) -> pa.Table:
        # No threads, neither to read ahead nor to decode: one of pyarrow's may let go of the file
        # only when Python has already ended, and then the process aborts, with all its work done.
        # Files of this size are read as fast without.
        footer = None if group is None else _footer(path, *_stamp(file))
        opened = pq.ParquetFile(
            file, metadata=footer, page_checksum_verification=True, pre_buffer=False
        )
        if group is None:
            return opened.read(use_threads=False)
        return opened.read_row_group(group, use_threads=False)

    table = _read(path, rows, f"{path.name} is damaged")
    if empty := [name for name in _COLUMNS if name != "value" and table[name].null_count]:
        raise StoreError(f"{path.name} is damaged: it has rows without {', '.join(empty)}")
    return table


def _stamp(file: BinaryIO) -> tuple[int, int, int]:
    """Return what changes when a file is written again: its number, size and time."""
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _footer(path: Path, *stamp: int) -> pq.FileMetaData:
    """Return the footer of a pack, parsed once: it describes hundreds of row groups.

    Raises:
      FileNotFoundError: The path has another file now.
    """
    with path.open("rb") as file:
        if _stamp(file) != stamp:
            raise FileNotFoundError(path)
        return pq.read_metadata(file)


def _read(path: Path, read: Callable[[Any], T], what: str) -> T:
    """Call ``read`` with the opened file: pyarrow takes some paths for addresses of other places.

    Raises:
      StoreError: It cannot be read; the message begins with ``what`` went wrong.
    """
    try:
        with path.open("rb") as file:
            return read(file)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} was moved while the store was read, as `velodrome compact` does: give the "
            "command again"
        ) from error
    # What pyarrow cannot read it refuses with errors of its own, most but not all of them
    # ValueErrors; text that is not UTF-8 with one; absurd lengths with the others.
    except (OSError, pa.ArrowException, ValueError, MemoryError, OverflowError) as error:
        raise StoreError(f"{what} ({_first_line(error)}): delete it and run again") from error


def equals(column: pa.ChunkedArray, text: str) -> np.ndarray:
    """Compare dictionary codes, which is faster than comparing strings."""
    parts = [
        np.asarray(chunk.indices) == chunk.dictionary.to_pylist().index(text)
        if text in chunk.dictionary.to_pylist()
        else np.zeros(len(chunk), dtype=bool)
        for chunk in column.chunks
    ]
    return np.concatenate(parts or [np.zeros(0, dtype=bool)])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
