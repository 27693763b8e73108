"""Reading one file of shards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SMALLEST = "results/published/demo"

# Threads are counted by the kernel: those of pyarrow are no threads of Python.
COUNTED = """
import sys
from pathlib import Path
import psutil
from velodrome.results.store import shard_file
path = Path(sys.argv[1])
before = psutil.Process().num_threads()
assert shard_file.read_table(path).num_rows > 1000
assert shard_file.read_table(path, 0).num_rows > 10
print(psutil.Process().num_threads() - before)
"""


def test_reading_starts_no_thread_that_could_outlive_python():
    root = Path(__file__).parents[3]
    path = min((root / SMALLEST).rglob("*.parquet"), key=lambda path: path.stat().st_size)
    command = [sys.executable, "-c", COUNTED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0
