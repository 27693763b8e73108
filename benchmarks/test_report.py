"""A report of a store as large as the full suite's: ``pytest benchmarks/test_report.py -s``.

Stores of 10 and of 83 tasks (see ``synthetic_store.py``) are reported, each in its process: time
must be linear in tasks, memory flat. With ``--benchmark-only``; a few minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TASKS = (10, 83)
PROGRAM = """
import resource, sys, time
import joblib
from joblib.externals.loky import get_reusable_executor
import velodrome
begun = time.monotonic()
files = velodrome.report(sys.argv[1])
seconds = time.monotonic() - begun
get_reusable_executor().shutdown()
own, drawing = (resource.getrusage(r) for r in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
processor = sum(used.ru_utime + used.ru_stime for used in (own, drawing))
# At most: the processes that draw are not at their largest at the same time.
memory = (own.ru_maxrss + joblib.cpu_count() * drawing.ru_maxrss) / 1024
print(processor, memory, files.page.stat().st_size / 1e6, seconds)
"""


@pytest.fixture(scope="module")
def measured() -> dict[int, tuple[float, float, float]]:
    """Return seconds of processor time, megabytes of memory and of the page, by number of tasks."""
    return {}


@pytest.mark.parametrize("tasks", TASKS)
def test_report(benchmark, tmp_path: Path, tasks: int, measured: dict):
    store = tmp_path / "store"
    made = [sys.executable, str(HERE / "synthetic_store.py"), str(store), "--tasks", str(tasks)]
    subprocess.run(made, check=True)

    def report() -> tuple[float, ...]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(store)], capture_output=True, text=True, check=True
        )
        return tuple(map(float, done.stdout.split()))

    seconds, memory, page, wall = benchmark.pedantic(report, rounds=1)
    measured[tasks] = seconds, memory, page
    benchmark.extra_info.update(cpu_seconds=seconds, memory_mb=memory, page_mb=page, seconds=wall)
    print(
        f"\n{tasks} tasks: {wall:.1f} s, {seconds:.1f} s of processor, {memory:.0f} MB, "
        f"page {page:.2f} MB"
    )
    assert memory < 2_000 and page < 5
    if len(measured) == len(TASKS):
        few, many = TASKS
        slope = (measured[many][0] - measured[few][0]) / (many - few)
        start = measured[few][0] - few * slope
        growth = (measured[many][1] - measured[few][1]) / (many - few)
        print(f"{start:.1f} s + {slope:.2f} s a task; {growth:.2f} MB of memory a task")
