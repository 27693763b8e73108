"""Tables as Parquet and CSV files: whole or not there, written piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from velodrome.foundation.files import atomic_path
from velodrome.results.store.shard_file import METADATA_KEY


@contextmanager
def table_files(
    stem: Path, schema: pa.Schema, *, formats: Sequence[str], about: Mapping[str, Any]
) -> Iterator[Callable[[pa.Table], None]]:
    """Gives a function that appends rows to ``stem.FORMAT`` in all formats.

    Args:
      stem: path without the suffix.
      schema: columns of the rows.
      formats: ``"parquet"``, ``"csv"`` or both.
      about: facts about the store, kept as JSON in the metadata of a Parquet file.

    Raises:
      VelodromeError: a file cannot be written; what was there before is untouched.
    """
    metadata = {**(schema.metadata or {}), METADATA_KEY: json.dumps(dict(about)).encode()}
    schema = schema.with_metadata(metadata)
    with ExitStack() as stack:
        writers = []
        for kind in formats:
            path = stack.enter_context(atomic_path(stem.with_name(f"{stem.name}.{kind}")))
            writers.append(stack.enter_context(_writer(path, schema)))

        def append(table: pa.Table) -> None:
            for writer in writers:
                writer.write_table(table.replace_schema_metadata(metadata))

        yield append


def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """A table whose columns have one type each; what is missing is null."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def _writer(path: Path, schema: pa.Schema) -> Any:
    if path.suffix == ".csv":
        return pyarrow.csv.CSVWriter(path, schema)
    # Measured numbers hardly ever repeat; everything else does.
    measured = [field.name for field in schema if field.type == pa.float32()]
    encoding: dict[str, Any] = {
        "use_dictionary": [name for name in schema.names if name not in measured],
        "column_encoding": dict.fromkeys(measured, "BYTE_STREAM_SPLIT") or None,
    }
    return pq.ParquetWriter(path, schema, compression="zstd", **encoding)
