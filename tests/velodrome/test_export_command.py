"""``velodrome export`` as a user calls it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from velodrome import cli


@pytest.fixture(scope="module")
def store(make_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("stores") / "one", "--tasks", "1")


def test_everything_is_exported(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    parts = "tables,curves,headline"
    parts += ",tensorboard" if importlib.util.find_spec("tensorboardX") else ""
    words = ["export", str(store), "--out", str(tmp_path), "--format", "csv,parquet"]
    assert cli.main([*words, "--parts", parts]) == 0
    said = capsys.readouterr().out
    for name in ("curves", "runs", "speedups", "summary", "specs", "overhead", "provenance"):
        assert f"{name}.csv" in said and f"{name}.parquet" in said
    assert str(tmp_path) in said.replace("\n", "")
    assert (tmp_path / "tensorboard").is_dir() == parts.endswith("tensorboard")


def test_files_are_replaced_and_others_left_alone(store: Path):
    out = store / "export"
    out.mkdir()
    (out / "curves.parquet").write_text("old")
    (out / "mine.txt").write_text("kept")
    assert cli.main(["export", str(store), "--parts", "curves"]) == 0
    assert len(pd.read_parquet(out / "curves.parquet"))
    assert {path.name for path in out.iterdir()} == {"curves.parquet", "mine.txt"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{one}", "{one}"], "add --out DIR"),
        (["no-such-place"], "no-such-place is not a result store"),
        (["{one}", "--parts", "tensorbord"], "Did you mean 'tensorboard'"),
        (["{one}", "--format", "xls"], "no format of tables named 'xls'"),
        (["{one}", "--format", ","], "name at least one format of tables: parquet, csv"),
    ],
)
def test_what_is_refused(
    store: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["export", *(word.format(one=store) for word in words)]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
