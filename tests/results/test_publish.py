from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from plans import rewrite
from synthetic import Candidate, make

from scripts.publish_results import (
    SUMS,
    check_published,
    publish,
    published_stores,
    record_costs,
)
from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import sha256_file
from velodrome.results.report import write
from velodrome.results.report.figures.contents import plots
from velodrome.results.store.provenance import KEY
from velodrome.results.store.records import CostRecord
from velodrome.results.store.store import Store

RATES = (1e-3, 3e-3, 1e-2)
PUBLISHED = sorted(
    path.parent for path in (Path(__file__).parents[2] / "results" / "published").glob(f"*/{SUMS}")
)

#: All but the demo and the smallest other one; the field of the leaderboard has its own test.
LONG = (
    "sprint",
    "heldout-40",
    "heldout-40-velo-tiny-2",
    "heldout-40-velo-tiny-3",
    "heldout-8-2000",
    "heldout-8-10000",
    "heldout-8-40000",
    "heldout-8-width",
    "sprint-horizon",
    "sprint-learned",
    "mlcommons-mini",
    "stress-horizon",
    "stress-parameters-decoder-1m",
    "stress-parameters-decoder-4m",
    "stress-parameters-mlp-1m",
    "stress-parameters-mlp-4m",
    "stress-parameters-mlp-14m",
    "stress-steps-100k",
    "stress-steps-200k",
    "stress-steps-20k",
    "stress-steps-2k",
    "stress-steps-400k",
)


@pytest.fixture(scope="module", autouse=True)
def _few_figures():
    """Draw only the figures that are published by themselves; all of them are drawn elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        some = ("speedup_steps", "speedup_seconds")
        patch.setattr(write, "plots", lambda data: [x for x in plots(data) if x.name in some])
        yield


@pytest.mark.parametrize(
    "directory",
    [pytest.param(x, marks=pytest.mark.long if x.name in LONG else ()) for x in PUBLISHED],
    ids=lambda path: path.name,
)
def test_published_headlines_are_those_of_the_published_curves(directory: Path):
    assert check_published(directory) == []
    page = (directory / "index.html").read_text(encoding="utf-8")
    assert published_stores(directory)
    for store in published_stores(directory):
        manifest = Store.open(store, read_only=True).manifest
        said = manifest.get("command"), manifest.get("device", {}).get("kind"), manifest.get("data")
        assert all(text and text in page for text in said)


def test_the_demo_is_published():
    (demo,) = (path for path in PUBLISHED if path.name == "demo")
    text = (demo / "report.md").read_text(encoding="utf-8")
    assert text.count("VeLO (velo-tiny): meta-training took 1.9 CPU hours") == 1


def test_the_cost_of_meta_training_is_the_one_that_is_known_today(tmp_path: Path):
    (demo,) = (path for path in PUBLISHED if path.name == "demo")
    for folder in ("questions", "shards"):
        shutil.copytree(demo / folder, tmp_path / folder)
    store = Store.open(tmp_path)
    (known,) = store.manifest.get(KEY, [])
    other: CostRecord = {**known, "amount": 2.0, "optimizer": {**known["optimizer"], "version": 0}}
    store.take_manifest({**store.manifest, KEY: [{**known, "amount": 1.0}, other]})
    record_costs(tmp_path)
    assert Store.open(tmp_path).manifest.get(KEY) == [known, other]


def rows_of(document: str, mark: str) -> list[list[str]]:
    """Return the cells of the table after a mark."""
    text = (Path(__file__).parents[2] / document).read_text(encoding="utf-8")
    table = text.split(f"<!-- {mark} -->")[1].split("\n\n")[1].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_tutorial_quotes_the_published_verdict():
    """Its quotation is the first three lines of the report."""
    (heldout,) = (path for path in PUBLISHED if path.name == "heldout-40")
    lines = (heldout / "report.md").read_text(encoding="utf-8").splitlines()[2:5]
    document = Path(__file__).parents[2] / "docs" / "tutorials" / "read-a-report.md"
    quoted = document.read_text(encoding="utf-8").replace("\n> ", " ")
    assert " ".join(lines) in " ".join(quoted.split())


@pytest.mark.parametrize("document", ["README.md", "docs/index.md"])
def test_the_first_pages_have_the_numbers_of_the_published_headline(document: str):
    (heldout,) = (path for path in PUBLISHED if path.name == "heldout-40")
    lines = (heldout / "report.md").read_text(encoding="utf-8").splitlines()
    published = {}
    for line in lines[: lines.index("## Tasks")]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "VeLO (velo-tiny)":
            published[cells[1]] = [cells[3], cells[5]]
    rows = rows_of(document, "heldout-40 table")
    assert len(rows) == len(published) == 3
    for row, unit in zip(rows, ("steps", "steps, held-out loss", "seconds"), strict=True):
        assert row[1:] == published[unit]


def test_a_document_has_the_numbers_of_the_published_demo():
    (demo,) = (path for path in PUBLISHED if path.name == "demo")
    text = (demo / "report.md").read_text(encoding="utf-8")
    report = text.split("## Tasks\n\n")[1].split("\n\n")[0].splitlines()
    names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in report)
    columns = ["task", "Adam's best rate", "Adam loss", "loss", "steps", "seconds"]
    published = [[row[names.index(name)] for name in columns] for row in rows]
    table = rows_of("docs/reference/velo-tiny.md", "demo table")
    assert [[task, float(rate), *rest] for task, rate, *rest in table] == [
        [task, float(rate), *rest] for task, rate, *rest in published
    ]


def test_a_document_has_the_medians_of_the_published_demo():
    (demo,) = (path for path in PUBLISHED if path.name == "demo")
    text = (demo / "report.md").read_text(encoding="utf-8")
    document = Path(__file__).parents[2] / "docs" / "reference" / "velo-tiny.md"
    section = document.read_text(encoding="utf-8").split("<!-- demo table -->")[1]
    for unit in ("steps", "seconds"):
        median = text.split(f"| VeLO (velo-tiny) | {unit} | 8 of 8 | ")[1].split(" |")[0]
        assert f"- in {unit}: median {median}, " in section


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("published")
    candidate = Candidate("velo", [4.0, 0.5], label="VeLO (velo-tiny)")
    store = make(directory / "store", [candidate], seeds=2, rates=RATES).store
    publish([store.directory], directory / "mine")
    return directory / "mine"


def sign(directory: Path, name: str) -> None:
    """Write the hash of a changed file as if the change were meant."""
    lines = (directory / SUMS).read_text().splitlines()
    lines = [line for line in lines if not line.endswith(f"  {name}")]
    (directory / SUMS).write_text(
        "\n".join([*lines, f"{sha256_file(directory / name)}  {name}"]) + "\n"
    )


def test_a_changed_curve_or_headline_is_found(published: Path, tmp_path: Path):
    assert check_published(published) == []
    assert not (published / "report").exists()  # what is not in the list is not copied

    copy = tmp_path / "headline"
    shutil.copytree(published, copy)
    table = pd.read_csv(copy / "headline.csv")
    table["value"] *= 1.001
    table.to_csv(copy / "headline.csv", index=False)
    assert any("SHA-256" in line for line in check_published(copy))
    sign(copy, "headline.csv")
    found = check_published(copy)
    assert found and all("but the stored curves give" in line for line in found)

    copy = tmp_path / "curve"
    shutil.copytree(published, copy)
    for shard in (copy / "shards").glob("*.parquet"):
        read = pq.read_table(shard)
        number = read.column_names.index("value")
        values = [1.05 * value for value in read.column("value").to_pylist()]
        meta = json.loads(read.schema.metadata[b"velodrome"])
        if meta["cell"]["optimizer"]["name"] == "velo":
            changed = read.set_column(
                number, read.schema.field(number), [pd.array(values, "float32").to_numpy()]
            )
            pq.write_table(changed.replace_schema_metadata(read.schema.metadata), shard)
            sign(copy, f"shards/{shard.name}")
    assert any("headline.csv, row" in line for line in check_published(copy))

    copy = tmp_path / "files"
    shutil.copytree(published, copy)
    (copy / "index.html").unlink()
    (copy / "more.txt").write_text("more")
    (copy / ".lock").touch()  # of a run at work
    assert check_published(copy) == [f"more.txt is not in {SUMS}", "index.html is missing"]


def test_stores_of_other_optimizers_are_published_together(tmp_path: Path):
    for name in ("velo", "lion"):
        make(tmp_path / name, [Candidate(name, [4.0, 0.5], label=name)], seeds=2, rates=RATES)
    publish([tmp_path / "velo", tmp_path / "lion"], tmp_path / "new")
    assert check_published(tmp_path / "new") == []
    assert [path.name for path in published_stores(tmp_path / "new")] == ["lion", "velo"]
    assert set(pd.read_csv(tmp_path / "new" / "headline.csv")["label"]) == {"velo", "lion"}
    make(
        tmp_path / "apart" / "sgd",
        [Candidate("sgd", [2.0, 0.5], label="sgd")],
        seeds=2,
        rates=RATES,
    )
    publish([tmp_path / "new" / "velo", tmp_path / "apart" / "sgd"], tmp_path / "more")
    assert check_published(tmp_path / "more") == []
    assert not (tmp_path / "more" / "velo").exists()
    assert set(pd.read_csv(tmp_path / "more" / "headline.csv")["label"]) == {"velo", "sgd"}
    shutil.rmtree(tmp_path / "new" / "lion")
    assert any("other rows" in line for line in check_published(tmp_path / "new"))


def test_what_cannot_be_published_says_why(published: Path, tmp_path: Path):
    with pytest.raises(StoreError, match="exists"):
        publish([published], published)
    copy = tmp_path / "store"
    shutil.copytree(published, copy)
    rewrite(copy, "manifest", command="velodrome run demo --out /home/someone/demo")
    with pytest.raises(StoreError, match="relative --out"):
        publish([copy], tmp_path / "new")
    rewrite(copy, "manifest", command="velodrome run demo --out demo")
    next((copy / "shards").glob("*.parquet")).unlink()
    with pytest.raises(StoreError, match="lacks 1 shard: continue with"):
        publish([copy], tmp_path / "new")
    assert not (tmp_path / "new").exists()
