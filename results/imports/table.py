"""`ForeignTable`: a CSV or Parquet file that somebody else wrote, as columns of values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from velodrome.foundation.errors import SpecError

#: A message shows at most this much of a value.
_MOST_TEXT = 60


@dataclass(frozen=True)
class ForeignTable:
    """Columns of equal length, and where each row stands in the file.

    Attributes:
      columns: By name. Values of a CSV file are texts without white space around them, and an
        empty text is a missing value; in a Parquet file None is.
      numbers: The number of each row's line in a CSV file, from 1; of the row in a Parquet file.
      unit: ``"line"`` or ``"row"``.
    """

    name: str
    columns: dict[str, list[object]]
    numbers: Sequence[int]
    unit: str

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int, column: str = "") -> str:
        """Return where a value stands, such as ``curves.csv, line 17, loss``."""
        end = f", {column}" if column else ""
        return f"{self.name}, {self.unit} {self.numbers[row]}{end}"

    def wrong(self, row: int, column: str, allowed: str) -> SpecError:
        """Return the error for a value."""
        value = self.columns[column][row]
        shown = value if len(repr(value)) <= _MOST_TEXT else f"{value!r:.{_MOST_TEXT}}..."
        return SpecError(self.place(row, column), shown, allowed)


def read_table(path: Path) -> ForeignTable:
    """Read a table, whose format follows from the ending of its name.

    Raises:
      SpecError: It cannot be read, or is no such table; the message names the line.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise SpecError("file", path.name, "the name of a .csv or .parquet file")
    try:
        return read(path)
    except FileNotFoundError as error:
        raise SpecError("file", str(path), "a file that exists") from error
    except OSError as error:
        allowed = f"a file that can be read ({error.strerror or error})"
        raise SpecError("file", str(path), allowed) from error


def _read_csv(path: Path) -> ForeignTable:
    names: list[str] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for cells in reader:
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                if not names:
                    names = _checked_names(path.name, cells)
                    continue
                if len(cells) != len(names):
                    where = f"{path.name}, line {reader.line_num}"
                    allowed = f"{len(names)}, as many as the header has columns"
                    raise SpecError(f"{where}, number of values", len(cells), allowed)
                rows.append(cells)
                numbers.append(reader.line_num)
        except csv.Error as error:
            where = f"{path.name}, line {reader.line_num}"
            raise SpecError(where, str(error), "a line of a CSV file") from error
        except UnicodeDecodeError as error:
            raise SpecError(path.name, str(error), "text in UTF-8") from error
    if not rows:
        raise SpecError(path.name, "no rows", "a header and rows of values")
    columns: dict[str, list[object]] = {
        name: [row[at] for row in rows] for at, name in enumerate(names)
    }
    return ForeignTable(path.name, columns, numbers, "line")


def _read_parquet(path: Path) -> ForeignTable:
    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
        names = _checked_names(path.name, table.column_names)
        columns = {name: table.column(at).to_pylist() for at, name in enumerate(names)}
    except (pa.ArrowException, OverflowError) as error:
        raise SpecError(path.name, str(error).splitlines()[0], "a Parquet file") from error
    if not len(table):
        raise SpecError(path.name, "no rows", "a table with rows")
    return ForeignTable(path.name, columns, range(1, len(table) + 1), "row")


def _checked_names(file: str, names: Sequence[str]) -> list[str]:
    # The first column of a data frame with its index is a name that is missing.
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise SpecError(f"{file}, header", twice[0], "the name of one column")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise SpecError(f"{file}, header", names[0], "names with commas between")
    return [name or f"column {at}" for at, name in enumerate(names, 1)]
