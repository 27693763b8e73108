"""Write the table of memory on each device, from the compiler, into the page on stress suites.

``python scripts/stress_memory.py`` rewrites the text between two marks in
``docs/explanation/stress.md``. It takes minutes: it compiles training steps of over a billion
parameters, for one device and for eight that a CPU pretends to be. No array is made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax

import velodrome
from scripts.documents import between_marks, table_of_numbers
from velodrome.foundation.files import atomic_write_text
from velodrome.foundation.text import size
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.spread import Spread
from velodrome.suites.suite import Suite
from velodrome.suites.training.memory import step_memory

BEGIN = "<!-- begin: python scripts/stress_memory.py -->"
DOCUMENT = Path("docs/explanation/stress.md")
DEVICES = (1, 8)
TASKS = ("mlp-543m", "decoder-551m", "decoder-1360m")
OPTIMIZERS = ("adam", "velo")
_HEADER = ("task", "optimizer", "devices", "state", "temporary", "together", "to compile")


def rows(suite: Suite, devices: Iterable[int], optimizers: Iterable[str]) -> Iterator[list[str]]:
    """Yield a row for each task, optimizer and number of devices."""
    devices, chosen = tuple(devices), [velodrome.optimizers.get(name) for name in optimizers]
    for index, task in enumerate(suite.tasks):
        for optimizer in chosen:
            for count in devices:
                found = step_memory(suite, index, optimizer, Spread(count))
                yield [
                    str(task.name),
                    optimizer.label,
                    str(count),
                    *(size(part) for part in (found.kept, found.temporary, found.total)),
                    f"{found.seconds:.0f} s",
                ]


def main() -> int:
    """Rewrite the document; return the exit status."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(DEVICES))
    made = []
    for name in TASKS:
        for row in rows(load_suite(f"stress-parameters/{name}"), DEVICES, OPTIMIZERS):
            print(*row, flush=True)
            made.append(row)
    text = DOCUMENT.read_text(encoding="utf-8")
    table = table_of_numbers(_HEADER, made, words=2)
    atomic_write_text(DOCUMENT, between_marks(text, BEGIN, table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
