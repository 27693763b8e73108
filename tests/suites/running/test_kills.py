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


def run_with_kills(out: Path, kills: int, seed: int) -> None:
    # A separate session, so that nothing of it survives, whatever happens.
    process = subprocess.Popen(
        [sys.executable, str(HERE / "killing.py"), str(out), str(kills), str(seed)],
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
@pytest.mark.long
def test_twenty_kills_change_no_bit(tmp_path):
    run_with_kills(tmp_path / "undisturbed", 0, 0)
    run_with_kills(tmp_path / "killed", 20, 1)
    expected = toys.contents(tmp_path / "undisturbed")
    assert len(expected) == 4
    assert sum(len(rows) for rows in expected.values()) > 1000
    assert toys.contents(tmp_path / "killed") == expected
    left = [path for path in (tmp_path / "killed").rglob("*") if ".tmp" in path.name]
    assert len(left) <= 20  # a killed writer leaves its temporary file, which nobody reads
