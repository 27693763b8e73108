"""Write the table of optimizer state into the page on stress suites.

``python scripts/stress_table.py`` rewrites the text between two marks in
``docs/explanation/stress.md``; a test makes the rows again and compares. Shapes are traced, nothing
is allocated or run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import jax

import velodrome
from scripts.documents import between_marks, table_of_numbers
from velodrome.foundation.files import atomic_write_text
from velodrome.foundation.text import size
from velodrome.suites.catalog import load_suite
from velodrome.taskgen.budget import devices_needed, load_profile
from velodrome.taskgen.spec import TaskSpec

BEGIN = "<!-- begin: python scripts/stress_table.py -->"
DOCUMENT = Path("docs/explanation/stress.md")
STEPS = 2_000
PROFILES = ("v100", "h100")
_HEADER = (
    "task", "parameters", "their bytes", "Adam's state", "VeLO's state", "training",
    *(f"{name}s" for name in PROFILES),
)  # fmt: skip


def row(spec: TaskSpec) -> tuple[str, ...]:
    """Return the row of a task: bytes of what is kept between steps, and devices for a step.

    The last columns are a prediction that has activations in it, and counts devices that divide
    the batch.
    """
    task = velodrome.build(spec)
    shapes = task.shapes[0]
    memory = task.cost.memory_bytes
    return (
        str(spec.name),
        f"{task.cost.params:,}",
        size(_bytes(shapes)),
        *(size(_state_bytes(name, shapes)) for name in ("adam", "velo")),
        size(memory),
        *(str(devices_needed(memory, spec.batch_size, load_profile(name))) for name in PROFILES),
    )


def _state_bytes(name: str, shapes: object) -> int:
    spec = velodrome.optimizers.get(name)
    points = {"learning_rate": 1e-3} if "learning_rate" in spec.grid else {}
    steps = STEPS if "num_steps" in spec.needs else None
    return _bytes(jax.eval_shape(spec.make(points, num_steps=steps).init, shapes))


def _bytes(tree: object) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def table(specs: Iterable[TaskSpec]) -> str:
    """Return the table of tasks as Markdown."""
    return table_of_numbers(_HEADER, map(row, specs))


def main() -> int:
    """Rewrite the document; return the exit status."""
    made = table(load_suite("stress-parameters").tasks)
    text = DOCUMENT.read_text(encoding="utf-8")
    atomic_write_text(DOCUMENT, between_marks(text, BEGIN, made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
