"""The status of a store of 100,000 runs: ``pytest benchmarks/test_status.py --benchmark-only -s``.

The store is that of `synthetic_store.py`: 12,500 files of shards, of 15 runs and of one. The first
status reads all footers; the next ones, in a new process each, read the index. Making the store
takes some minutes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SIZE = ("--tasks", "1250", "--steps", "20", "--multiple", "1")


def test_status(benchmark, tmp_path: Path):
    store = str(tmp_path / "store")
    subprocess.run([sys.executable, str(HERE / "synthetic_store.py"), store, *SIZE], check=True)

    def status() -> str:
        command = [sys.executable, "-m", "velodrome", "status", store, "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    begun = time.monotonic()
    assert '"runs": 100000, "runs_done": 100000' in status()
    print(f"\nfirst: {time.monotonic() - begun:.2f} s")
    benchmark.pedantic(status, rounds=5)
