from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toys

HERE = Path(__file__).parents[1]
ROOT = HERE.parent.parent


def run_with_kills(directory: Path, kills: int, steps: int) -> None:
    # A separate session, so that nothing of it survives, whatever happens.
    process = subprocess.Popen(
        [sys.executable, str(HERE / "killing.py"), str(directory), str(kills), str(steps)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told, complaints = process.communicate(timeout=240)
        assert process.returncode == 0, complaints[-3000:]
        assert f"killed {kills}" in told
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # nobody is left
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("kills", "steps"), [(3, 150), pytest.param(10, 500, marks=pytest.mark.long)]
)
def test_kills_of_three_workers_change_no_bit(tmp_path, kills, steps):
    run_with_kills(tmp_path, kills, steps)
    expected = toys.contents(tmp_path / "undisturbed")
    assert len(expected) == 4
    assert sum(len(rows) for rows in expected.values()) > steps // 2
    assert toys.contents(tmp_path / "killed") == expected
    left = [path for path in (tmp_path / "killed").rglob("*") if path.name.startswith(".")]
    assert len(left) <= kills  # a killed writer leaves its temporary file, which nobody reads
    held = [path for path in (tmp_path / "killed" / "claims").iterdir() if path not in left]
    assert held == []
