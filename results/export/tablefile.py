"""Tables as Parquet and CSV files, each whole or not there, written piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from velodrome.foundation.files import atomic_path
from velodrome.results.store.shard_file import METADATA_KEY


class TableFiles:
    """Writes tables into a directory.

    Args:
      directory: Where the files go.
      formats: ``"parquet"``, ``"csv"`` or both.
      about: Facts about the store, kept as JSON in the metadata of a Parquet file.

    Attributes:
      written: Tables by name, with their files and their numbers of rows.
    """

    def __init__(self, directory: Path, formats: Sequence[str], about: Mapping[str, object]):
        self._directory, self._formats = directory, tuple(dict.fromkeys(formats))
        self._about = json.dumps(dict(about)).encode()
        self.written: dict[str, tuple[tuple[Path, ...], int]] = {}

    @contextmanager
    def open(self, name: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """Give a function that appends rows to the files of a table.

        Raises:
          VelodromeError: A file cannot be written; what was there before is untouched.
        """
        metadata = {**(schema.metadata or {}), METADATA_KEY: self._about}
        paths = tuple(self._directory / f"{name}.{kind}" for kind in self._formats)
        rows = 0
        with ExitStack() as stack:
            writers = []
            for path in paths:
                temporary = stack.enter_context(atomic_path(path))
                writer = _writer(temporary, schema.with_metadata(metadata))
                writers.append(stack.enter_context(writer))

            def append(table: pa.Table) -> None:
                nonlocal rows
                rows += len(table)
                for writer in writers:
                    writer.write_table(table.replace_schema_metadata(metadata))

            yield append
        self.written[name] = paths, rows

    def write(self, name: str, table: pa.Table) -> None:
        with self.open(name, table.schema) as append:
            append(table)


def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Return a table whose columns have one type each; what is missing is null."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def _writer(path: Path, schema: pa.Schema) -> pyarrow.csv.CSVWriter | pq.ParquetWriter:
    if path.suffix == ".csv":
        return pyarrow.csv.CSVWriter(path, schema)
    # Measured numbers hardly ever repeat; everything else does.
    measured = [field.name for field in schema if field.type == pa.float32()]
    # The stubs of pyarrow declare a bool; a list of columns is documented too.
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in measured],  # pyright: ignore[reportArgumentType]
        column_encoding=dict.fromkeys(measured, "BYTE_STREAM_SPLIT") or None,
    )
