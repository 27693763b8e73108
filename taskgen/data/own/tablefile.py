"""Read a table with a column of labels from a CSV or Parquet file."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.answers import MOST, answers_of
from velodrome.taskgen.data.own.contents import Contents, Options, check_count, glimpse, split
from velodrome.taskgen.data.tables import standardised

LABEL_NAMES = ("label", "class", "target")
"""Names of the column of labels, the first of those that are there; else it is the last column."""

MOST_WORDS = 32
"""Different words that a column may have to become a column each."""

_MOST_BYTES = 2**31 - 1
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+(,\d+)?\s*")
_NOTHING = ["", "?", "NA", "N/A", "NaN", "nan", "null", "None"]


def read_csv(path: Path, options: Options) -> Contents:
    """Read a table: a row an example, a column of labels or of numbers to predict, and others.

    Rows are counted from 1 in messages, without the line of names.

    Raises:
      DataError: Something is wrong; the message names the row and the column.
    """
    table, notes = _parse(path)
    return table_contents(table, options, path.name, notes)


def read_parquet(path: Path, options: Options) -> Contents:
    """Read a table from a Parquet file; raises as `read_csv` does."""
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise DataError(f"{path.name} cannot be read as a Parquet file: {error}.") from error
    return table_contents(table, options, path.name, {})


def table_contents(
    table: pa.Table, options: Options, where: str, notes: dict[str, str], *, held: int = 0
) -> Contents:
    """Turn a table into the rows and labels of both splits; raises as `read_csv` does.

    The last ``held`` rows are held out; 0 leaves that to the rule.
    """
    names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{where} has more than one column named {glimpse(twice)}; rename them.")
    for name in options.ignore:
        _known(name, names, where, "--ignore")
    ignored = set(options.ignore)
    if "" in names and _counts(table[""]):
        ignored.add("")
        notes = notes | {"left out": "the column without a name, which numbers the rows"}
    label = _label_column(options, [name for name in names if name not in ignored], where)
    check_count(where, "rows", table.num_rows)
    words = f"the labels in the column {label!r} of {where}"
    answers = answers_of(
        _column(table, label, where),
        lambda at: _place(at, label, where),
        words,
        regression=options.regression,
    )
    columns, sources = [], []
    for name in names:
        if name != label and name not in ignored:
            made, how = _features(_column(table, name, where), name, where)
            columns += made
            sources.append(f"{name}{how}")
    if not columns:
        raise DataError(f"{where} has no column beside that of the labels, {label!r}.")
    train = answers.training(held, where)
    rows = standardised(np.stack(columns, axis=1), train)
    notes |= answers.notes(train, label, held=held) | {
        "other columns": glimpse(sources),
        "scale": "every column has mean 0 and variance 1 in the train split",
    }
    arrays = {"row": rows, **answers.arrays(train)}
    return Contents("table", split(arrays, train), answers.class_names, notes)


def _parse(path: Path) -> tuple[pa.Table, dict[str, str]]:
    size = path.stat().st_size
    if size >= _MOST_BYTES:
        raise DataError(f"{path.name} has {size:,} bytes; a CSV file may have {_MOST_BYTES:,}.")
    delimiter, names, notes = _head(path)
    bad: list[Any] = []

    def keep(row: Any) -> str:
        bad.append(row)
        return "error"

    try:
        table = arrow_csv.read_csv(
            path,
            # One block: types are found by looking at all rows, and rows have numbers.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=max(size + 1, 2**20), column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=arrow_csv.ConvertOptions(
                null_values=_NOTHING, strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        if not bad:
            raise DataError(f"{path.name} cannot be read as a table: {error}.") from error
        row = bad[0].number - (1 if names is None else 0)
        raise DataError(
            f"row {row} of {path.name} has {bad[0].actual_columns} values, but there are "
            f"{bad[0].expected_columns} columns: {bad[0].text[:60]!r}."
        ) from error
    return (table if delimiter == "," else _with_points(table)), notes


def _with_points(table: pa.Table) -> pa.Table:
    """Return a table in which numbers with a decimal comma, as in 0,5, are numbers."""
    for at, name in enumerate(table.column_names):
        words = table.column(at).to_pylist() if pa.types.is_string(table.column(at).type) else []
        if words and all(word is None or _DECIMAL_COMMA.fullmatch(word) for word in words):
            numbers = [None if word is None else float(word.replace(",", ".")) for word in words]
            table = table.set_column(at, name, pa.array(numbers, pa.float64()))
    return table


def _counts(column: pa.ChunkedArray) -> bool:
    """Return whether a column numbers the rows, as the index of pandas does."""
    if not pa.types.is_integer(column.type) or column.null_count:
        return False
    values = column.to_numpy()
    return bool(len(values)) and bool((values - values[0] == np.arange(len(values))).all())


def _head(path: Path) -> tuple[str, list[str] | None, dict[str, str]]:
    """Return the delimiter, names of the columns if the file has none, and what to say of it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not text in UTF-8: {error}. Save it so, such as by iconv -f latin1 -t "
            f"utf-8 {path.name}."
        ) from error
    if not first:
        raise DataError(f"{path.name} is empty.")
    delimiter = max(",;\t", key=first.count)
    fields = next(csv.reader([first], delimiter=delimiter))
    if len(fields) < 2:
        raise DataError(
            f"{path.name} has one column, {fields[0][:40]!r}; give columns of numbers and one of "
            "labels, with commas, semicolons or tabs between them."
        )
    if not any(map(_is_number, fields)):
        return delimiter, None, {}
    names = [f"column {at}" for at in range(1, len(fields) + 1)]
    return delimiter, names, {"names": "the first line has numbers, so it is a row, not names"}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _label_column(options: Options, names: list[str], where: str) -> str:
    if options.label:
        return _known(options.label, names, where, "--label")
    by_name = {name.strip().lower(): name for name in reversed(names)}
    named = [by_name[name] for name in LABEL_NAMES if name in by_name]
    if not names:
        raise DataError(f"{where} has no column left.")
    return named[0] if named else names[-1]


def _known(name: str, names: list[str], where: str, option: str) -> str:
    if name not in names:
        raise DataError(f"{option}: {where} has no column {name!r}; it has {glimpse(names)}.")
    return name


def _column(table: pa.Table, name: str, where: str) -> np.ndarray:
    """Return a column as i64, f64 or an array of str objects, without missing values."""
    column = table[name].combine_chunks()
    if column.null_count == len(column):
        raise DataError(f"the column {name!r} of {where} is empty; --ignore {name} leaves it out.")
    if column.null_count:
        at = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"{_place(at, name, where)} is missing. Fill it in or remove the row, or leave the "
            f"column out: --ignore {name}."
        )
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(column.type):
        return column.to_numpy(zero_copy_only=False).astype(np.int64)
    try:
        return np.asarray(column.cast(pa.string()).to_pylist(), dtype=object)
    except pa.ArrowException as error:
        raise DataError(_no_words(column, name, where)) from error


def _no_words(column: pa.Array, name: str, where: str) -> str:
    """Return the message about a column that cannot be turned into words."""
    if pa.types.is_binary(column.type):  # what words of a CSV file are if some are not UTF-8
        values = column.to_pylist()
        at = next(at for at, value in enumerate(values) if not _is_utf8(value))
        return (
            f"{_place(at, name, where)} is {values[at]!r:.60}, which is not text in UTF-8. Save "
            f"the file so, or leave the column out: --ignore {name}."
        )
    return (
        f"the column {name!r} of {where} is of type {column.type}, so it has neither numbers nor "
        f"words; --ignore {name} leaves it out."
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _features(values: np.ndarray, name: str, where: str) -> tuple[list[np.ndarray], str]:
    """Return the columns of numbers that a column becomes, and what to say of that."""
    if values.dtype != object:
        numbers = values.astype(np.float64)
        for at in np.flatnonzero(~(np.abs(numbers) <= MOST))[:1]:
            raise DataError(
                f"{_place(int(at), name, where)} is {numbers[at]}; numbers are finite, and at "
                f"most {MOST:g}."
            )
        return [numbers], ""
    odd = [at for at, word in enumerate(values) if not _is_number(word)]
    if 2 * len(odd) < len(values):
        at = odd[0] if odd else 0
        raise DataError(f"{_place(at, name, where)} is {values[at]!r}, which is no number.")
    for at, word in enumerate(values):
        if re.fullmatch(r"[-+]?[\d.,']*\d[\d.,']*", word):
            raise DataError(
                f"{_place(at, name, where)} is {word!r}, which is no number. Write numbers as "
                "1234.5, without signs between thousands."
            )
    words = sorted(set(values))
    if len(words) > MOST_WORDS:
        raise DataError(
            f"the column {name!r} of {where} has {len(words):,} different words, such as "
            f"{values[0][:40]!r}; at most {MOST_WORDS} can become a column each. "
            f"--ignore {name} leaves it out."
        )
    return [(values == word).astype(np.float64) for word in words], f" ({len(words)} words)"


def _place(at: int, name: str, where: str) -> str:
    return f"row {at + 1}, column {name!r} of {where}"
