"""`velodrome data add`, from a file to tasks, and what is said when it cannot be."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import velodrome
from velodrome import cli

ROWS = "a,b,kind\n" + "".join(f"{i % 7},{i % 11},{'xyz'[i % 3]}\n" for i in range(60))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(ROWS)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_from_a_file_to_tasks(capsys: pytest.CaptureFixture[str]):
    found = shown(capsys, "data", "add", "mine", "table.csv")
    for words in ("a table of 2 columns", "3: x, y, z", "48", "label column   kind", "tabular_mlp"):
        assert words in found
    assert "table.csv.velodrome.json" in found
    line = next(x for x in shown(capsys, "list", "datasets").splitlines() if x.startswith("mine "))
    assert line.split() == ["mine", "table", "2", "3", "48", "12", "own"]
    assert "all checks passed" in shown(capsys, "check", "data", "mine")
    shown(capsys, "sample", "--count", "2", "--data", "mine", "-o", "tasks.json")
    assert '"name": "mine", "hash": "' in shown(capsys, "show", "tasks.json")
    run = ("run", "tasks.json", "--out", "runs/mine", "--steps", "20", "--dry-run")
    assert "Nothing was done" in shown(capsys, *run)
    assert "no longer a data set" in shown(capsys, "data", "remove", "mine")
    assert cli.main(run) == 2
    assert "the data set 'mine' is not here" in capsys.readouterr().err


def test_numbers_are_predicted(capsys: pytest.CaptureFixture[str]):
    """Regression on a file: the loss starts near the variance of the target, and falls."""
    prices = "".join(f"{i % 7},{i % 11},{2 * (i % 7) - i % 11 + 0.5}\n" for i in range(60))
    Path("prices.csv").write_text(f"a,b,price\n{prices}")
    found = shown(capsys, "data", "add", "prices.csv")
    assert "a table of 2 columns, and 1 number to predict" in found
    assert re.search(r"mean \S+, standard deviation \S+; stored as 0 and 1", found)
    assert "tabular_mlp" in found
    assert "all checks passed" in shown(capsys, "check", "data", "prices")
    info = velodrome.datasets.get("prices").info
    assert (info.targets, info.num_classes) == (1, 0)
    spec = velodrome.TaskSpec("tabular_mlp", {"num_layers": 0}, velodrome.DataSpec("prices"), 16)
    (sampled,) = velodrome.sample(1, seed=0, data="prices")
    assert sampled.data.hash == info.content_hash
    curve = velodrome.train(spec, "adam", steps=200, learning_rate=0.05)["heldout loss"]
    assert curve.iloc[-1] < 0.05 < curve.iloc[0]  # a line fits


def test_a_path_is_added_under_the_name_of_the_file(capsys: pytest.CaptureFixture[str]):
    found = shown(capsys, "sample", "--count", "1", "--data", "./table.csv", "-o", "t.json")
    assert found.startswith("data set       table\n".rstrip()) and "1 task of tabular_mlp" in found
    assert "data set" not in shown(
        capsys, "sample", "--count", "1", "--data", "table", "-o", "t.json"
    )
    shown(capsys, "data", "add", "table.csv")  # again


def test_a_task_on_own_data_has_batches_of_them():
    (spec,) = velodrome.sample(1, seed=0, data="table.csv")
    source = velodrome.open_source(spec, "train")
    batch = source.batch(seed=0, step=0, batch_size=48)
    row = velodrome.datasets.get("table").load("train")["row"]
    assert source.provenance == "own"
    np.testing.assert_array_equal(np.sort(batch["row"], axis=0), np.sort(row, axis=0))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["add"], "say under which name, and where"),
        (["add", "mine"], "there is no file or folder"),
        (["add", "digits", "table.csv"], "'digits' is taken by a data set that is not yours"),
        (["add", "mine", "table.csv", "--label", "sort"], "no column 'sort'; it has a, b, kind"),
        (["add", "mine", "table.csv", "--size", "3"], "--size is for folders of images only"),
        (["add", "mine", "table.csv", "--size", "0"], "--size: got 0, but it must be a number"),
        (["add", "mine", "table.csv", "--download"], "--download is for `velodrome data prepare`"),
        (["status", "mine", "--replace"], "--replace is for `velodrome data add`"),
        (["status", "digits", "x"], "takes one name; leave out 'x'"),
        (["remove"], "say which data"),
        (["remove", "digits"], "no data were added under the name 'digits'"),
        (["add", "mine", "hf:x/y"], "hf:x/y needs datasets, which is not installed: pip install"),
    ],
)
def test_wrong_use(words: list[str], error: str, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert cli.main(["data", *words]) == 2
    message = capsys.readouterr().err
    assert error in message and message.count("\n") == 1
