"""``velodrome export`` as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from velodrome import cli

SYNTHETIC = Path(__file__).parents[2] / "benchmarks" / "synthetic_store.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stores") / "one"
    small = ["--tasks", "1", "--steps", "100", "--multiple", "2", "--seeds", "2"]
    subprocess.run([sys.executable, str(SYNTHETIC), str(directory), *small], check=True)
    return directory


def test_everything_is_exported_without_jax(store: Path, tmp_path: Path):
    words = ["export", str(store), "--out", str(tmp_path), "--format", "csv,parquet"]
    words += ["--parts", "tables,curves,headline"]
    try:
        import tensorboardX  # noqa: F401  # pyright: ignore[reportMissingImports]

        words[-1] += ",tensorboard"
    except ImportError:
        pass
    program = (
        "import sys; from velodrome.cli import main\n"
        f"assert main({words!r}) == 0\n"
        "assert not {'jax', 'flax', 'optax', 'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("curves", "runs", "speedups", "summary", "specs", "overhead", "provenance"):
        assert f"{name}.csv" in done.stdout and f"{name}.parquet" in done.stdout
    assert str(tmp_path) in done.stdout
    assert (tmp_path / "tensorboard").is_dir() == words[-1].endswith("tensorboard")


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
