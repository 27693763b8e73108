"""`velodrome check data`, and that check, run and train treat the same data alike."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import velodrome
from velodrome import cli

FILE = """
import numpy as np
import velodrome

def load(split):
    rng = np.random.default_rng(split == "train")
    image = rng.integers(0, 256, (600, 4, 4, 1)).astype(np.uint8)
    label = rng.integers(0, 3, 600).astype(np.int32)
    {change}
    return {{"image": image, "label": label}}

dataset = velodrome.Dataset(
    velodrome.DatasetInfo(
        name="own", kind="image", shape=(4, 4, 1), num_classes=3, licence="", origin="",
        provenance="built-in", split_hashes={hashes},
    ),
    load,
)
"""


def task(folder: Path, name: str, change: str = "", hashes: str = "{}") -> dict[str, object]:
    """Write a data set to a file of its own, and return a task on it."""
    (folder / f"{name}.py").write_text(FILE.format(change=change, hashes=hashes))
    config = {"image_size": 4, "hidden_size": 8}
    data = f"{folder}/{name}.py:dataset"
    return {"family": "mlp", "data": data, "batch_size": 16, "config": config}


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["check", *words])
    return code, capsys.readouterr().out


def test_bad_data_are_refused_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str], error_of):
    spec = task(tmp_path, "bad", change="label[7] = 9")
    problem = "the train split of 'own' has 9 among its labels, at 7; they are from 0 to 2."
    code, shown = checked(capsys, "data", str(spec["data"]))
    assert code == 1 and problem in shown
    code, shown = checked(capsys, "task", json.dumps(spec))
    assert code == 1 and problem in shown and "1 of 11 checks failed" in shown
    path = tmp_path / "tasks.json"
    velodrome.save_specs(path, [velodrome.TaskSpec.from_json(spec)])
    assert problem in error_of("run", str(path), "--out", "x", "--workers", "0")
    assert not (tmp_path / "x").exists()
    with (
        pytest.raises(velodrome.DataError, match=re.escape(problem)),
        pytest.warns(UserWarning, match="no declared content hash"),
    ):
        velodrome.train(velodrome.TaskSpec.from_json(spec), "adam", steps=10)


def test_checks_that_fail_alike_share_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    spec = task(tmp_path, "raising", change="raise KeyError('no such column')")
    code, shown = checked(capsys, "data", str(spec["data"]))
    assert code == 1 and shown.count("KeyError: 'no such column'") == 1
    assert "loading, facts, hash" in shown and "3 of 3 checks failed" in shown


def test_the_hash_that_is_printed_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error_of
):
    spec = task(tmp_path, "bare")
    code, shown = checked(capsys, "data", str(spec["data"]))
    hashes = re.search(r"split_hashes=(\{.*\})\.", shown)
    assert code == 1 and hashes
    path = tmp_path / "tasks.json"
    velodrome.save_specs(path, [velodrome.TaskSpec.from_json(spec)])
    assert hashes[0] in error_of("run", str(path), "--out", "x")
    assert cli.main(["show", str(path)]) == 0
    assert "no declared content hash" in capsys.readouterr().out
    spec = task(tmp_path, "hashed", hashes=hashes[1])
    assert checked(capsys, "data", str(spec["data"]))[0] == 0


def test_published_data_that_are_not_here_say_how_to_get_them(
    capsys: pytest.CaptureFixture[str],
):
    code, shown = checked(capsys, "data", "cifar100")
    assert code == 1 and "velodrome data prepare cifar100" in shown
