"""Data of workloads of MLCommons, prepared from tiny files in the true formats."""

from __future__ import annotations

import gzip
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

import velodrome
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published.facts import CRITEO_VOCABULARIES
from velodrome.taskgen.data.published.farmhash import fingerprints
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.verify import verify
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

#: From farmhash.fingerprint64 of pyfarmhash 0.5.1.
FINGERPRINTS = {
    "68fd1e640": 9066014191666271819,
    "0000000025": 10220210890468929800,
    "80e26c9b13": 7489766361561829043,
    "fb936136": 8874981813069878764,
    "abc": 2640714258260161385,
    "a0": 10913227591937238934,
    "": 11160318154034397263,
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))


def test_fingerprints_are_the_published_ones():
    found = fingerprints(np.array([text.encode() for text in FINGERPRINTS]))
    assert found.tolist() == list(FINGERPRINTS.values())
    with pytest.raises(ValueError, match="more than 16 bytes"):
        fingerprints(np.array([b"0" * 17]))


def clicks(count: int, seed: int) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-2, 50, (count, 13)).astype(str)
    codes = [[f"{code:08x}" for code in row] for row in generator.integers(2**32, size=(count, 26))]
    return [[str(at % 3 // 2), *numbers[at], *codes[at]] for at in range(count)]


def write_piece(path: Path, rows: list[list[str]], end: str = "\n") -> None:
    path.write_text("\n".join("\t".join(row) for row in rows) + end)


def test_click_logs(tmp_path: Path):
    logs = tmp_path / "logs"
    logs.mkdir()
    first, second, held = clicks(2500, 0), clicks(3, 1), clicks(5, 2)
    first[7][1], first[7][2], first[7][14], first[7][39] = "", "-1", "68fd1e64", "80e26c9b"
    first[8][14:] = [""] * 13 + ["-1"] * 13
    write_piece(logs / "day_0_00", first)
    write_piece(logs / "day_22_01", second, end="")
    write_piece(logs / "day_23_18", clicks(4, 3))  # of the test split
    write_piece(logs / "day_23_19", held)
    record = prepare("criteo1tb", source=logs)
    assert {name: split.size for name, split in record.splits.items()} == {
        "train": 2503,
        "heldout": 5,
    }
    assert record.notes["train"] == "2 pieces, day_0_00 to day_22_01"
    dataset = datasets.get("criteo1tb")
    verify(dataset)
    train = dataset.load("train")
    rows = [*first, *second]
    assert train["label"].tolist() == [int(row[0]) for row in rows]
    numbers = [[math.log(max(int(x or 0), 0) + 1) for x in row[1:14]] for row in rows]
    np.testing.assert_allclose(train["row"], numbers, rtol=1e-6)
    # By hand: the column's number stands after the digits; what is missing is eight zeros.
    assert train["category"][7, 0] == FINGERPRINTS["68fd1e640"] % CRITEO_VOCABULARIES[0]
    zeros = fingerprints(np.array([f"00000000{at}".encode() for at in range(26)]))
    assert zeros[25] == FINGERPRINTS["0000000025"]
    wanted = [int(code) % size for code, size in zip(zeros, CRITEO_VOCABULARIES, strict=True)]
    assert train["category"][8].tolist() == wanted
    spec = TaskSpec("dlrm", {"vocab_size": 100}, DataSpec("criteo1tb"), 4)
    batch = velodrome.open_source(spec, "heldout").batch(seed=0, step=0, batch_size=4)
    assert batch["category"].shape == (4, 26) and int(batch["category"].max()) < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"day_0_00": "2" + "\t1" * 39}, "lines 1 to 1 of .*day_0_00 have a label that is neither"),
        ({"day_0_00": "1\t2"}, "lines 1 to 1 of .*day_0_00 are no lines of Criteo's logs"),
        ({"day_23_19": None}, "none of the files of the heldout split, day_23_19 to day_23_35"),
        ({"day_0_00": None, "day_23_19": None, "day_0": "1"}, "whole day.*split -l 5000000"),
        (
            {"day_0_00": None, "day_23_19": None},
            "has not the files of criteo1tb. What to do: fetch the",
        ),
    ],
)
def test_click_logs_that_are_refused(tmp_path: Path, change: dict[str, str | None], message: str):
    line = "1" + "\t1" * 39
    for name, content in {"day_0_00": line, "day_23_19": line, **change}.items():
        if content is not None:
            (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        prepare("criteo1tb", source=tmp_path)


#: Three molecules: nodes, and bonds as pairs of atoms.
MOLECULES = ((2, [(0, 1)]), (1, []), (3, [(0, 1), (1, 2)]))


def molecules() -> dict[str, str]:
    nodes = [[at, *[at + 10 * column for column in range(1, 9)]] for at in range(6)]
    bonds = [bond for _, some in MOLECULES for bond in some]
    labels = [[""] * 128 for _ in MOLECULES]
    labels[0][:3], labels[2][5] = ["1.0", "", "0.0"], "1"
    tables = {
        "raw/node-feat": nodes,
        "raw/edge": bonds,
        "raw/edge-feat": [[at, 0, 1] for at in range(len(bonds))],
        "raw/graph-label": labels,
        "raw/num-node-list": [[count] for count, _ in MOLECULES],
        "raw/num-edge-list": [[len(some)] for _, some in MOLECULES],
        "split/scaffold/train": [[2], [0]],
        "split/scaffold/valid": [[1]],
        "split/scaffold/test": [[1]],
    }
    return {
        name: "".join(",".join(map(str, row)) + "\n" for row in rows)
        for name, rows in tables.items()
    }


def write_molecules(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / "pcba" / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode(), mtime=0))


def test_molecules(tmp_path: Path):
    write_molecules(tmp_path / "unpacked", molecules())
    with zipfile.ZipFile(tmp_path / "pcba.zip", "w") as archive:
        for path in (tmp_path / "unpacked").rglob("*.gz"):
            archive.write(path, path.relative_to(tmp_path / "unpacked"))
    record = prepare("ogbg_molpcba", source=tmp_path)
    assert record.form == "pcba.zip" and record.splits["train"].size == 2
    dataset = datasets.get("ogbg_molpcba")
    verify(dataset)
    train, heldout = dataset.load("train"), dataset.load("heldout")
    # The third graph comes first; its bonds go there, and then back.
    assert train["node"][:, 0].tolist() == [3, 4, 5, 0, 1]
    assert train["node_offsets"].tolist() == [0, 3, 5]
    assert train["sender"].tolist() == [0, 1, 1, 2, 0, 1]
    assert train["receiver"].tolist() == [1, 2, 0, 1, 1, 0]
    assert train["edge"][:, 0].tolist() == [1, 2, 1, 2, 0, 0]
    assert train["edge_offsets"].tolist() == [0, 4, 6]
    known = np.argwhere(train["weight"]).tolist()
    assert known == [[0, 5], [1, 0], [1, 2]] and train["label"].sum() == 2
    assert heldout["node_offsets"].tolist() == [0, 1] and len(heldout["sender"]) == 0
    config = {"rounds": 1, "hidden_size": 4, "max_nodes": 4, "max_edges": 6}
    spec = TaskSpec("gnn", config, DataSpec("ogbg_molpcba"), 2)
    batch = velodrome.open_source(spec, "train").batch(seed=0, step=0, batch_size=2)
    assert batch["node"].shape == (2, 4, 9) and float(batch["edge_mask"].sum()) == 6


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("raw/edge", "0,1\n", "has 1 ends of edges, not 3"),
        (
            "raw/edge",
            None,
            "has no folder ogbg_molpcba of tensorflow-datasets. What to do: fetch pcba.zip",
        ),
        ("raw/num-edge-list", "1\n2\n", "has 2 numbers of edges, not 3"),
        ("raw/num-node-list", "2\n4\n", "has 3 labels, not 2"),
        ("raw/node-feat", "1,2\n", "node-feat.csv.gz of .* has 2 columns, not 9"),
        ("raw/num-node-list", None, "lacks raw/num-node-list.csv.gz"),
        ("split/scaffold/valid", "9\n", "valid.csv.gz of .* names graphs that are not there"),
    ],
)
def test_molecules_that_are_refused(tmp_path: Path, name: str, text: str | None, message: str):
    files = {**molecules(), name: text}
    write_molecules(tmp_path, {name: text for name, text in files.items() if text is not None})
    with pytest.raises(DataError, match=message):
        prepare("ogbg_molpcba", source=tmp_path)
