from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from velodrome import cli

SYNTHETIC = Path(__file__).parents[2] / "benchmarks" / "synthetic_store.py"


@pytest.fixture(scope="session")
def make_store() -> Callable[..., Path]:
    """Make a small store with the script for large ones, which is in no package."""
    spec = importlib.util.spec_from_file_location(SYNTHETIC.stem, SYNTHETIC)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def make(directory: Path, *options: str) -> Path:
        small = ["--tasks", "2", "--steps", "100", "--multiple", "2", "--seeds", "2"]
        script.main([str(directory), *small, *options])
        return directory

    return make


@pytest.fixture
def error_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    """Run a command that must fail, in an empty folder, and return the one line it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        capsys.readouterr()
        assert cli.main(words) == 2
        message = capsys.readouterr().err
        assert message.startswith("velodrome: ")
        assert message.count("\n") == 1
        assert "Traceback" not in message
        return message

    return run
