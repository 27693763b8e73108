"""Molecules of OGB's ``ogbg-molpcba``: ``pcba.zip``, or the folder ``pcba`` that is in it."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader
from velodrome.taskgen.data.published.sources import FileFacts
from velodrome.taskgen.data.ragged import offsets_of

ARCHIVE = "pcba.zip"
_EDGE = "raw/edge"
_FILES = (_EDGE, "raw/node-feat", "raw/edge-feat", "raw/graph-label", "raw/num-node-list",
          "raw/num-edge-list")  # fmt: skip
_SPLITS = {"train": "split/scaffold/train", "heldout": "split/scaffold/valid"}

Read = Callable[[str], bytes]
"""Returns the content of a file, unpacked, by its name without ``.csv.gz``."""


def open_molpcba(info: DatasetInfo, folder: Path) -> Reader | None:
    """Read the data set in a folder; None if it is not there.

    It is held in memory: about 2 GB.

    Raises:
      DataError: Files are missing or damaged, or do not fit together.
    """
    archive = folder / ARCHIVE
    if archive.is_file():
        try:
            with zipfile.ZipFile(archive) as members:
                names = [name for name in members.namelist() if name.endswith(f"{_EDGE}.csv.gz")]
                if not names:
                    raise DataError(f"{archive} has no {_EDGE}.csv.gz; fetch it again.")
                before = names[0].removesuffix(f"{_EDGE}.csv.gz")

                def read(name: str) -> bytes:
                    return gzip.decompress(members.read(f"{before}{name}.csv.gz"))

                splits = _read(info, read, str(archive))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError) as error:
            raise DataError(f"{archive} is damaged: {error}. Fetch it again.") from error
        return Reader(ARCHIVE, splits, {ARCHIVE: FileFacts.of(archive)}, None)
    for base in (folder, folder / "pcba"):
        paths = {name: _path(base, name) for name in (*_FILES, *_SPLITS.values())}
        if not paths[_EDGE].is_file():
            continue
        for name, path in paths.items():
            if not path.is_file():
                raise DataError(f"{base} has {_EDGE}, but lacks {name}.csv.gz.")
        try:
            splits = _read(info, lambda name, paths=paths: _unpacked(paths[name]), str(base))
        except (zlib.error, EOFError, OSError) as error:
            raise DataError(f"a file in {base} is damaged: {error}. Fetch it again.") from error
        files = {path.relative_to(base).as_posix(): FileFacts.of(path) for path in paths.values()}
        return Reader(f"files of ogbg-molpcba ({base})", splits, files, None)
    return None


def _path(base: Path, name: str) -> Path:
    packed = base / f"{name}.csv.gz"
    return packed if packed.is_file() else base / f"{name}.csv"


def _unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _read(info: DatasetInfo, read: Read, where: str) -> dict[str, SplitReader]:
    def table(name: str, columns: int, dtype: type) -> np.ndarray:
        return _table(read(name), columns, dtype, f"{name}.csv.gz of {where}")

    node, edge = (
        table(f"raw/{what}-feat", width, np.float32)
        for what, width in zip(("node", "edge"), info.shape, strict=True)
    )
    ends = table(_EDGE, 2, np.int32)
    label = table("raw/graph-label", info.num_classes, np.float32)
    nodes, edges = (
        offsets_of(table(f"raw/num-{what}-list", 1, np.int64)[:, 0]) for what in ("node", "edge")
    )
    graphs = len(nodes) - 1
    sizes = {"nodes": (len(node), nodes[-1]), "edges": (len(edge), edges[-1])}
    sizes |= {"ends of edges": (len(ends), edges[-1]), "labels": (len(label), graphs)}
    sizes |= {"numbers of edges": (len(edges) - 1, graphs)}
    for what, (found, wanted) in sizes.items():
        if found != wanted:
            raise DataError(f"{where} has {found:,} {what}, not {wanted:,}. Fetch it again.")
    made = {}
    for split, name in _SPLITS.items():
        chosen = table(name, 1, np.int64)[:, 0]
        if not len(chosen) or chosen.min() < 0 or chosen.max() >= len(label):
            raise DataError(f"{name}.csv.gz of {where} names graphs that are not there.")
        made[split] = SplitReader(
            len(chosen),
            lambda start, stop, chosen=chosen: _graphs(
                chosen[start:stop], (node, nodes), (edge, ends, edges), label
            ),
        )
    return made


def _table(content: bytes, columns: int, dtype: type, where: str) -> np.ndarray:
    """Return the numbers of a file without a line of names, [rows, columns]; nothing is NaN."""
    try:
        found = csv.read_csv(
            io.BytesIO(content),
            read_options=csv.ReadOptions(autogenerate_column_names=True),
            convert_options=csv.ConvertOptions(null_values=["", "nan", "NaN"]),
        )
    except pa.ArrowException as error:
        raise DataError(f"{where} is damaged: {error}. Fetch it again.") from error
    if found.num_columns != columns:
        raise DataError(f"{where} has {found.num_columns} columns, not {columns}.")
    made = np.empty((found.num_rows, columns), dtype)
    for at in range(columns):
        column = found.column(at)
        if dtype is not np.float32 and column.null_count:
            raise DataError(f"{where} lacks a number in column {at + 1}.")
        try:
            made[:, at] = column.cast(pa.float64()).to_numpy()
        except pa.ArrowException as error:
            raise DataError(f"{where} has something else than numbers: {error}.") from error
    return made


def _graphs(
    chosen: np.ndarray,
    nodes: tuple[np.ndarray, np.ndarray],
    edges: tuple[np.ndarray, np.ndarray, np.ndarray],
    label: np.ndarray,
) -> Arrays:
    """Return the arrays of some graphs, each edge in both directions: first all, then all back."""
    node, node_offsets = nodes
    edge, ends, edge_offsets = edges
    parts: dict[str, list[np.ndarray]] = {"node": [], "edge": [], "sender": [], "receiver": []}
    for graph in chosen:
        mine = slice(edge_offsets[graph], edge_offsets[graph + 1])
        parts["node"].append(node[node_offsets[graph] : node_offsets[graph + 1]])
        parts["edge"] += [edge[mine]] * 2
        parts["sender"] += [ends[mine, 0], ends[mine, 1]]
        parts["receiver"] += [ends[mine, 1], ends[mine, 0]]
    counts = {
        "node_offsets": np.diff(node_offsets)[chosen],
        "edge_offsets": 2 * np.diff(edge_offsets)[chosen],
    }
    known = np.isfinite(label[chosen])
    return {
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        **{name: offsets_of(sizes) for name, sizes in counts.items()},
        "label": np.where(known, label[chosen], 0).astype(np.float32),
        "weight": known.astype(np.float32),
    }
