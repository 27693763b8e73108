"""Work of ``velodrome data``, apart from its help: status and preparation of data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from velodrome.commands._own_data import facts
from velodrome.commands._progress import ProgressBars
from velodrome.commands._tables import console, each_usable, print_pairs, print_table
from velodrome.foundation import text
from velodrome.foundation.errors import DataError
from velodrome.suites.planning.preflight import suites_by_data
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.own.names import read_entry
from velodrome.taskgen.data.own.record import read_record, record_path
from velodrome.taskgen.data.published.prepared import prepared_dir
from velodrome.taskgen.data.published.prepared import read_record as read_prepared
from velodrome.taskgen.data.published.recipes import RECIPES, about_bytes, how_to_get
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.standin.catalog import PREFIX

#: By whether the files are the published ones; None is where this is not known.
_NOTES = {
    False: "Note: the files are not, byte for byte, the published ones. Unless they were only "
    "packed again, results on them are results on other data.",
    None: "Note: the files could not be compared with the published ones, because hashes are known "
    "only of files as they are downloaded, and these are unpacked or converted.",
}


def prepare(name: str, source: Path | None, download: bool, vocabulary: Path | None) -> int:
    from velodrome.taskgen.data.published import prepare as preparing  # noqa: PLC0415 - imports jax

    if name not in RECIPES and name in datasets.names():
        raise DataError(
            f"{name!r} needs no preparation: it is built in, your own, generated when it is used, "
            "or comes with another package. `velodrome data status` shows which are to be prepared."
        )
    with ProgressBars(in_bytes=False) as bars:
        record = preparing.prepare(
            name, source=source, fetch=download, vocabulary=vocabulary, progress=bars.show
        )
    if record.published is not True:
        console().print(_NOTES[record.published], markup=False)
    if "vocabulary" in record.notes:
        console().print(f"vocabulary: SHA-256 {record.notes['vocabulary']}", markup=False)
    sizes = ", ".join(f"{split}: {entry.size:,}" for split, entry in record.splits.items())
    console().print(
        f"{name} is prepared from {record.form} ({sizes}), in {prepared_dir(name)}", markup=False
    )
    return 0


def status() -> int:
    needed, problems = suites_by_data()
    names = [name for name in datasets.names() if not name.startswith(PREFIX)]
    infos = dict(each_usable("data set", names, lambda name: [(name, datasets.get(name).info)]))

    def row(name: str, info: DatasetInfo) -> Sequence[object]:
        suites = ", ".join(needed.get(name, ()))
        how = "" if info.content_hash else _how_to_get(name)
        return (name, *_state(name, info), info.content_hash[:16], suites, how)

    print_table(
        ("data set", "state", "#size", "content hash", "suites", "how to get it"),
        (row(name, info) for name, info in infos.items()),
    )
    console().print(
        f"Published data have stand-ins, {PREFIX}NAME, generated when they are used "
        "(`velodrome run --data stand-in`). `velodrome data status NAME` says all about one.",
        markup=False,
    )
    for problem in problems:
        console().print(problem, markup=False)
    console().print("")
    print_table(("data set", "licence"), ((name, info.licence) for name, info in infos.items()))
    return 0


def status_of(name: str) -> int:
    info = datasets.get(name).info
    state, size = _state(name, info)
    pairs: list[tuple[str, object]] = [
        ("data set", name),
        ("origin", info.origin),
        ("licence", info.licence),
        *facts(info),
        ("state", f"{state}, {size}" if size else state),
        ("suites", ", ".join(suites_by_data()[0].get(name, ())) or "none"),
    ]
    pairs += [(f"hash of {split}", value) for split, value in info.split_hashes.items()]
    pairs += [*_record_pairs(name), *_added_pairs(name)]
    if not info.content_hash:
        pairs.append(("how to get it", _how_to_get(name)))
        pairs += _recipe_pairs(name)
    print_pairs(pairs)
    return 0


def _state(name: str, info: DatasetInfo) -> tuple[str, str]:
    """Return whether a data set is here, and its size (if it is not, the size when prepared)."""
    size = f"about {text.size(raw)}" if (raw := about_bytes(info)) else ""
    if name not in RECIPES:
        states = {"built-in": "built in", "stand-in": "generated", "own": "added"}
        return states.get(info.provenance, "here"), size
    try:
        record = read_prepared(name)
    except DataError:
        return "damaged", size
    if record is None:
        return "not here", size
    return "prepared", text.size(sum(entry.bytes for entry in record.splits.values()))


def _added_pairs(name: str) -> Iterator[tuple[str, object]]:
    entry = read_entry(name)
    if entry is None:
        return
    file = record_path(entry.path)
    reading = read_record(file)[name]
    yield "recorded in", file
    yield from reading.notes.items()
    yield "read with", ", ".join(f"{key} {version}" for key, version in reading.versions.items())


def _how_to_get(name: str) -> str:
    """Return the command that prepares a data set, and what to do first if it is damaged."""
    command = how_to_get(name)
    try:
        if name in RECIPES:
            read_prepared(name)
    except DataError:
        return f"delete {prepared_dir(name)}, then {command}"
    return command


def _recipe_pairs(name: str) -> Iterator[tuple[str, object]]:
    recipe = RECIPES.get(name)
    if recipe is None:
        return
    if recipe.tfds:
        yield "in TFDS", recipe.tfds
    for file in recipe.files:
        yield "original file", f"{file.url} ({text.size(file.size)})"
    if recipe.by_hand:
        yield "by hand", recipe.by_hand
    if recipe.vocabulary:
        t5 = recipe.vocabulary == "t5"
        which, page = ("of cc_all.32000", "data") if t5 else ("of its own", "mlcommons")
        yield "vocabulary", f"sentencepiece.model {which}, see docs/how-to/prepare-{page}.md"


def _record_pairs(name: str) -> Iterator[tuple[str, object]]:
    try:
        record = read_prepared(name) if name in RECIPES else None
    except DataError as error:
        yield "problem", error
        return
    if record is None:
        return
    yield "prepared from", record.form
    yield "prepared at", record.prepared
    yield "in", prepared_dir(name)
    genuine = {True: "yes, by SHA-256", False: "no", None: "not known: unpacked or converted"}
    yield "the published files", genuine[record.published]
    yield from record.notes.items()
