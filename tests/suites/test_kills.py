from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import toys

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def run_with_kills(out: Path, kills: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "killing.py"), str(out), str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"killed {kills}" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.slow
def test_twenty_kills_change_no_bit(tmp_path):
    run_with_kills(tmp_path / "undisturbed", 0, 0)
    run_with_kills(tmp_path / "killed", 20, 1)
    expected = toys.contents(tmp_path / "undisturbed")
    assert len(expected) == 4
    assert sum(len(rows) for rows in expected.values()) > 1000
    assert toys.contents(tmp_path / "killed") == expected
    left = [path for path in (tmp_path / "killed").rglob("*") if ".tmp" in path.name]
    assert len(left) <= 20  # a killed writer leaves its temporary file, which nobody reads
