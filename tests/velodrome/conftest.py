from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from velodrome import cli


@pytest.fixture
def tell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    """Run a command that must fail, in an empty folder, and return the one line it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        capsys.readouterr()
        assert cli.main(words) == 2
        told = capsys.readouterr().err
        assert told.startswith("velodrome: ")
        assert told.count("\n") == 1
        assert "Traceback" not in told
        return told

    return run
