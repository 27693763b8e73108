"""Whatever is wrong inside a file of a store, reading it is no traceback."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plans import question_of, rewrite
from synthetic import Candidate, make

import velodrome
from velodrome import cli
from velodrome.foundation.errors import StoreError, VelodromeError
from velodrome.foundation.typed import parse_json
from velodrome.results.analyses.diff import compare_stores
from velodrome.results.analyses.failures import failure_table
from velodrome.results.analyses.overhead import overhead_table
from velodrome.results.export.runs import curve_table, run_table
from velodrome.results.export.stored import stored_rows
from velodrome.results.report.data import collect
from velodrome.results.report.page.build import build_page
from velodrome.results.report.text import markdown
from velodrome.results.speedup.comparison import labelled_cells
from velodrome.results.store.combined import open_stores
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import provenance_table, spec_table, task_specs
from velodrome.results.store.store import Store

COST = {
    "optimizer": {"name": "velo", "version": 1, "identity": {"weights": "77"}},
    "amount": 0.783, "unit": "CPU hours", "source": "its card", "detail": "650 steps",
}  # fmt: skip
DEVICE = {"platform": "cpu", "kind": "a processor", "threads": 2}

#: Values of every type, and the worst of each.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 10**18, 10**400, 1e300, -0.5, "", "text", "\ud800", "nan", [], [1], [[]],
    {}, {"a": 1}, {"median": None}, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


def base_store(directory: Path) -> Store:
    """Make a small store that has every kind of file and every field."""
    candidates = [
        Candidate("velo", [2.0], label="VeLO (tiny)", weights="77"),
        Candidate("x", [1.0]),
    ]
    store = make(
        directory, candidates, steps=20, multiple=2, seeds=1, rates=(1e-3, 1e-2),
        failed=[("x", 0)], untimed=[("x", 0)],
    ).store  # fmt: skip
    about = {"versions": {"jax": "0.10"}, "device": DEVICE, "command": "velodrome run x --out y"}
    rewrite(directory, "manifest", **about, meta_training=[COST])
    tasks = [
        {"spec": {"family": task["family"], "batch_size": 8}, "hash": task["hash"]}
        for task in json.loads(question_of(directory).read_text())["suite"]["tasks"]
    ]
    rewrite(directory, "suite", tasks=tasks, optimizers=["adam", "velo"])
    for path in (directory / "timings").glob("*.json"):
        _rewrite(path, device=DEVICE, threads=2, memory_bytes=1000)
    untimed = next(cell.id for cell in store.plan.cells if cell.id not in store.timings)
    store.write_timing_failure(untimed, "oom", "out of memory")
    for path in (directory / "shards").glob("*.parquet"):
        said = {"versions": {"jax": "0.9"}, "device": DEVICE, "started": "2026-01-01", "seconds": 3}
        _reseal(path, lambda metadata, said=said: json.dumps({**metadata, **said}).encode())
    return Store.open(directory)


def _rewrite(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def _reseal(path: Path, change: Callable[[Any], bytes]) -> None:
    """Write a shard again with other metadata."""
    table = pq.read_table(path)
    said = change(json.loads((table.schema.metadata or {})[b"velodrome"]))
    pq.write_table(table.replace_schema_metadata({b"velodrome": said}), path)


def mutated(content: Any, rng: random.Random) -> bytes:
    """Return a JSON value with one thing in it changed, or its text broken."""
    kind = rng.randrange(12)
    content = copy.deepcopy(content)
    text = json.dumps(content)
    if kind == 0:
        broken = (
            b"", text.encode()[: rng.randrange(len(text))], text.encode("utf-16"),
            b"\xff\xfe" + text.encode(), b"[" * 100_000, (b"[" * 900) + (b"]" * 900),
            text.replace("{", '{"schema": 2, ', 1).encode(), b"null", b"NaN", b"1e999", b"[]",
        )  # fmt: skip
        return rng.choice(broken)
    places = list(_places(content))
    holder, key = rng.choice(places)
    if kind == 1 and isinstance(holder, dict):
        del holder[key]
    elif kind == 2 and isinstance(holder, dict):
        holder["more"] = rng.choice(VALUES)
    elif kind == 3:
        deep: Any = 1
        for _ in range(rng.choice((5, 50, 700))):
            deep = [deep] if rng.random() < 0.5 else {"a": deep}
        holder[key] = deep
    elif kind == 4:  # a key that comes twice
        return text.replace(json.dumps(key), f'"{key}": 0, {json.dumps(key)}', 1).encode()
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(content).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in list(entries):
        yield value, key
        if isinstance(entry, dict | list):
            yield from _places(entry)


def mutate_parquet(path: Path, rng: random.Random) -> None:
    """Change the types, the rows, the metadata or the bytes of a shard."""
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    kind = rng.randrange(6)
    if kind == 0:
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 4, 40))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
    elif kind == 1:
        name = rng.choice(table.column_names)
        types = (pa.int64(), pa.uint64(), pa.float64(), pa.string(), pa.null(), pa.decimal128(38))
        with contextlib.suppress(pa.ArrowException):
            table = table.set_column(0, name, table[name].cast(rng.choice(types)))
        pq.write_table(table, path)
    elif kind == 2:
        name = rng.choice(table.column_names)
        values = [None, *table[name].to_pylist()[1:]]
        place = table.column_names.index(name)
        column = pa.array(values, table.schema.field(name).type)
        pq.write_table(table.set_column(place, table.schema.field(name), column), path)
    else:
        said = mutated(json.loads(metadata[b"velodrome"]), rng)
        pq.write_table(table.replace_schema_metadata({b"velodrome": said}), path)


def use(directory: Path, depth: int, *, rows: bool = True) -> None:
    """Read all of a store; from depth 1 on with every table of a report, at 2 with its files.

    Without ``rows`` curves are left out, which takes most of the time.
    """
    store = Store.open(directory, read_only=True)
    cells, specs = labelled_cells(store), task_specs(store)
    provenance_table(store, cells)
    failure_table(store, {}, [])
    tables = [spec_table(store, cells), overhead_table(store, {}, specs)]
    if depth:
        data = collect(store)
        markdown(data)
        build_page(data, [])
        compare_stores(store, store)
        tables += dict(data.saved_tables()).values()
    for table in tables:
        pa.Table.from_pandas(table, preserve_index=False)
    run_table(store, cells)
    for part in stored_rows(cells) if rows else ():
        curve_table(part)
    if depth == 2:
        parts = ("tables", "curves", "headline", "tensorboard")
        velodrome.export(directory, directory.with_name("export"), parts=parts)
        velodrome.report(directory, directory.with_name("report"))


def outcome(directory: Path, number: int, depth: int) -> str:
    """Change one file, use the store, put the file back; return what happened."""
    rng = random.Random(number)
    path = rng.choice([path for path in sorted(directory.rglob("*")) if path.is_file()])
    before = path.read_bytes()
    try:
        if path.suffix == ".parquet":
            mutate_parquet(path, rng)
        else:
            path.write_bytes(mutated(json.loads(before), rng))
        use(directory, depth, rows=path.suffix == ".parquet")
        return "read"
    except VelodromeError:
        return "refused"
    except Exception as error:
        now = path.read_bytes()[-3000:]
        raise AssertionError(f"mutation {number} of {path.name}: {now}") from error
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose files the tests change and put back."""
    directory = tmp_path_factory.mktemp("damaged") / "store"
    base_store(directory)
    return directory


def test_no_mutation_of_a_file_is_a_traceback(damaged: Path):
    numbers = [*range(200), 4619]  # the last one gives a lane a number of 60 bits
    found = [outcome(damaged, number, int(number % 100 == 0)) for number in numbers]
    assert min(found.count("read"), found.count("refused")) > 20


@pytest.mark.long
@pytest.mark.parametrize("part", range(3))  # in parts, which workers share
def test_no_mutation_of_three_thousand_is_a_traceback(damaged: Path, part: int):
    for number in range(200 + part, 3_200, 3):
        outcome(damaged, number, 2 if number % 500 == 1 else int(number % 100 == 0))


def test_a_damaged_plan_is_refused_or_means_the_same(damaged: Path):
    """Without the hash of the manifest, which refuses every change."""
    content, rng = json.loads(question_of(damaged).read_text())["plan"], random.Random(0)
    for _ in range(300):
        try:
            changed = parse_json(mutated(content, rng))
            plan = Plan.from_json(changed)
        except (ValueError, StoreError):
            continue
        again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
        assert again == plan and plan.to_json().keys() == content.keys()


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("manifest", {"versions": 5}, "versions: got 5, but it must be an object"),
        ("manifest", {"meta_training": [{}]}, "meta_training[0]: got [], but"),
        ("suite", {"tasks": [3]}, "tasks[0]: got 3, but it must be an object"),
        ("timings", {"ratio": "2"}, "ratio: got '2', but it must be a number"),
        ("failures", {"message": None}, "message: got None, but it must be a string"),
        ("shards", {"device": {"kind": 7}}, "device.kind: got 7, but it must be a string"),
        ("shards", {"lanes": []}, "its runs (seeds, hyperparameters) are not the plan's"),
    ],
)
def test_a_damaged_part_is_named_and_the_rest_is_read(
    tmp_path: Path,
    name: str,
    fields: dict[str, object],
    told: str,
    capsys: pytest.CaptureFixture[str],
):
    store = base_store(tmp_path / "store")
    if (store.directory / name).is_dir():
        path = sorted((store.directory / name).glob("*[!d].*"))[0]
        if path.suffix == ".parquet":
            _reseal(path, lambda metadata: json.dumps({**metadata, **fields}).encode())
        else:
            _rewrite(path, **fields)
    else:
        path = rewrite(store.directory, name, **fields)
    data = collect(Store.open(store.directory, read_only=True))
    (problem,) = data.problems
    assert problem.path == path and told in problem.reason
    assert told in markdown(data).replace("\\", "") and len(data.summary) == 2
    cli.main(["compare", str(store.directory), str(store.directory)])
    assert f"skipped {path}: " in capsys.readouterr().out
    both = open_stores([store.directory, base_store(tmp_path / "other").directory])
    assert [found.path for found in both.problems] == [path]
    if path.parent.name == "questions":  # what a run would go on with must be whole
        with pytest.raises(StoreError, match="Put the original file back"):
            Store.open(store.directory)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"protocol": {"steps": "20"}}, "steps: got '20', but it must be an integer"),
        ({"suite": {"hash": 5}}, "suite.hash: got 5, but it must be a string"),
    ],
)
def test_what_results_depend_on_is_not_skipped(
    tmp_path: Path, fields: dict[str, object], told: str
):
    store = base_store(tmp_path / "store")
    rewrite(store.directory, "manifest", **fields)
    with pytest.raises(StoreError, match=f"is damaged: {told}. Put the original"):
        Store.open(store.directory, read_only=True)
