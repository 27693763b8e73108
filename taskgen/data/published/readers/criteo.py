"""Criteo's click logs of 24 days, in pieces of 5,000,000 lines: ``day_0_00``, ``day_0_01``, ...

A line has a label, 13 integers and 26 categories of up to 8 hexadecimal digits, with tabs between.
What becomes of them is what the workload ``criteo1tb`` of MLCommons does.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.facts import CRITEO_VOCABULARIES
from velodrome.taskgen.data.published.farmhash import fingerprints
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader, spans
from velodrome.taskgen.data.published.sources import FileFacts
from velodrome.taskgen.data.ragged import offsets_of

LAST_DAY = 23
FIRST_VALIDATED = 19
"""The pieces of the last day from this one on are held out; those before are a test split."""

_PIECE = re.compile(r"day_(\d+)_(\d\d)")
_WHOLE = re.compile(r"day_(\d+)(\.gz)?")
_EVERY = 1024  # lines between two known places of a file
_BLOCK = 2**24
_NUMBERS = [f"number {at}" for at in range(13)]
_CATEGORIES = [f"category {at}" for at in range(26)]
_DEFAULT = b"00000000"


@dataclass(frozen=True)
class Piece:
    """A file, with the places of every 1024th of its lines."""

    path: Path
    lines: int
    places: np.ndarray
    facts: FileFacts

    def read(self, start: int, stop: int) -> bytes:
        """Return the lines from ``start`` to before ``stop``."""
        at, skipped = divmod(start, _EVERY)
        last = -(-stop // _EVERY)
        with self.path.open("rb") as file:
            file.seek(self.places[at])
            end = self.places[last] if last < len(self.places) else self.facts.bytes
            lines = file.read(int(end - self.places[at])).splitlines(keepends=True)
        return b"".join(lines[skipped : skipped + stop - start])


def open_criteo(info: DatasetInfo, folder: Path) -> Reader | None:
    """Read the pieces in a folder; None if there is none.

    Days 0 to 22 are trained on: those that are there. Raises a `DataError` if the pieces that are
    held out are missing, or a whole day is there that was not cut into pieces.
    """
    found = {(int(m[1]), int(m[2])): path for path, m in _named(folder, _PIECE)}
    if not found:
        for path, _ in _named(folder, _WHOLE):
            raise DataError(
                f"{path} is a whole day. Unpack it and cut it into pieces of 5,000,000 lines: "
                f"split -l 5000000 -d -a 2 {path.stem} {path.stem}_"
            )
        return None
    parts = {
        "train": [path for (day, _), path in sorted(found.items()) if day < LAST_DAY],
        "heldout": [
            path
            for (day, piece), path in sorted(found.items())
            if day == LAST_DAY and piece >= FIRST_VALIDATED
        ],
    }
    for split, paths in parts.items():
        if not paths:
            wanted = "day_0_00 to day_22_NN" if split == "train" else "day_23_19 to day_23_35"
            raise DataError(f"{folder} has none of the files of the {split} split, {wanted}.")
    pieces = {split: [_scan(path) for path in paths] for split, paths in parts.items()}
    files = {piece.path.name: piece.facts for some in pieces.values() for piece in some}
    notes = {
        split: f"{len(some)} pieces, {some[0].path.name} to {some[-1].path.name}"
        for split, some in pieces.items()
    }
    made = {split: _reader(some) for split, some in pieces.items()}
    return Reader(f"pieces of click logs ({folder})", made, files, None, notes)


def _named(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    matches = ((path, pattern.fullmatch(path.name)) for path in sorted(folder.iterdir()))
    return [(path, match) for path, match in matches if match]


def _scan(path: Path) -> Piece:
    """Count the lines of a file, note where they begin, and hash it, in one go."""
    digest, places, lines, at, last = hashlib.sha256(), [0], 0, 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
            # The line after the 1024th end, and so on, counted from the start of the file.
            first = -(lines + 1) % _EVERY
            places += (at + ends[first::_EVERY] + 1).tolist()
            lines, at, last = lines + len(ends), at + len(block), block[-1:]
    if last != b"\n":
        lines += 1
    return Piece(path, lines, np.array(places), FileFacts(at, digest.hexdigest()))


def _reader(pieces: Sequence[Piece]) -> SplitReader:
    offsets = offsets_of(piece.lines for piece in pieces)

    def read(start: int, stop: int) -> Arrays:
        parts = []
        for at, first, last in spans(offsets, start, stop):
            where = f"lines {first + 1} to {last} of {pieces[at].path}"
            parts.append(parse(pieces[at].read(first, last), where))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return SplitReader(int(offsets[-1]), read)


def parse(lines: bytes, where: str) -> Arrays:
    """Return the arrays of some lines, which messages call ``where``."""
    names = ["label", *_NUMBERS, *_CATEGORIES]
    types = {"label": pa.int32(), **dict.fromkeys(_NUMBERS, pa.int64())}
    types |= dict.fromkeys(_CATEGORIES, pa.binary())
    try:
        table = csv.read_csv(
            io.BytesIO(lines),
            read_options=csv.ReadOptions(use_threads=False, column_names=names),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException as error:
        raise DataError(f"{where} are no lines of Criteo's logs: {error}.") from error
    label = table["label"].to_numpy()
    if table["label"].null_count or not np.isin(label, (0, 1)).all():
        raise DataError(f"{where} have a label that is neither 0 nor 1.")
    numbers = np.stack([table[name].fill_null(0).to_numpy() for name in _NUMBERS], axis=1)
    codes = []
    for at, (name, vocabulary) in enumerate(zip(_CATEGORIES, CRITEO_VOCABULARIES, strict=True)):
        texts = np.array(table[name].fill_null(_DEFAULT).to_pylist(), "S")
        texts = np.where(texts == b"-1", _DEFAULT, texts)
        try:
            hashes = fingerprints(np.char.add(texts, str(at).encode()))
        except ValueError as error:
            raise DataError(f"{where} have {error} as {name}.") from error
        codes.append((hashes % np.uint64(vocabulary)).astype(np.int32))
    return {
        "row": np.log(np.maximum(numbers, 0) + 1.0).astype(np.float32),
        "category": np.stack(codes, axis=1),
        "label": label.astype(np.int32),
    }
