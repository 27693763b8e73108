from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from velodrome import cli


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
