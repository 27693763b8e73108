"""Work of ``velodrome data add`` and ``remove``, apart from their help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from velodrome.commands._tables import console, print_pairs
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.taskgen.data import add as adding
from velodrome.taskgen.data.info import DatasetInfo, kind_of
from velodrome.taskgen.data.own.contents import Options, glimpse
from velodrome.taskgen.data.own.names import name_of
from velodrome.taskgen.data.verify import unit
from velodrome.taskgen.sampler import DATA, OF_KIND


def add(
    name: str | None,
    path: str | None,
    label: str,
    ignore: Sequence[str],
    size: int | None,
    regression: bool,
    replace: bool,
) -> int:
    if name is None:
        raise VelodromeError("say under which name, and where: velodrome data add flowers DATA.csv")
    if path is None:
        name, path = name_of(name), name
    if size is not None and not 1 <= size <= 1024:
        raise SpecError("--size", size, "a number of pixels from 1 to 1024")
    options = Options(label, tuple(ignore), size or 0, regression)
    _show(adding.add(name, path, options, replace=replace))
    return 0


def remove(name: str | None) -> int:
    if name is None:
        raise VelodromeError("say which data: velodrome data remove flowers")
    adding.forget(name)
    console().print(f"{name} is no longer a data set. The data are where they were.", markup=False)
    return 0


def named(data: str) -> str:
    """Return the name of a data set; new data given by their path are added, and shown."""
    if data in DATA:
        return data
    found = adding.named(data)
    if isinstance(found, str):
        return found
    _show(found)
    console().print("")
    return found.dataset.name


def facts(info: DatasetInfo) -> Iterator[tuple[str, object]]:
    """Yield what is known of data, in words."""
    yield "kind", kind_of(info.kind).describe(info)
    if info.num_classes:
        names = f": {glimpse(info.class_names)}" if info.class_names else ""
        yield "classes", f"{info.num_classes:,}{names}"
    for split, size in info.split_sizes.items():
        yield f"{split} split", f"{size:,} {unit(info)}"


def _show(added: adding.Added) -> None:
    info = added.dataset.info
    example = f"velodrome sample --count 2 --data {info.name} -o tasks.json"
    print_pairs(
        [
            ("data set", info.name),
            *facts(info),
            *added.notes.items(),
            ("content hash", info.content_hash[:16]),
            ("recorded in", added.record),
            ("families", ", ".join(OF_KIND[info.kind])),
            ("sample tasks", example),
        ]
    )
