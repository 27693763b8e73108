"""Write the table of the published tasks into its document.

``python scripts/published_tasks_table.py`` rewrites the text between two marks in
``docs/reference/published-costs.md``; a test makes it again and compares. Nothing is measured:
sizes, costs and times are predictions from the specs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.documents import between_marks, table_of_numbers
from velodrome.foundation.files import atomic_write_text
from velodrome.suites.published.tasks import in_83, published_tasks
from velodrome.taskgen import description
from velodrome.taskgen.budget import MFLOP, PROTOCOL_STEPS, Budget, load_profile, predict_seconds
from velodrome.taskgen.spec import TaskSpec

BEGIN = "<!-- begin: python scripts/published_tasks_table.py -->"

DOCUMENT = Path("docs/reference/published-costs.md")
DEVICE = "v100"
HOURS = 1.0

_HEADER = (
    "task", "data", "batch", "parameters", "MFLOP a step", "memory, MB", "ms a step",
    f"{PROTOCOL_STEPS:,} steps in {HOURS:g} h?",
)  # fmt: skip


def tables(device: str = DEVICE, hours: float = HOURS) -> str:
    """Return the tables of both suites as Markdown.

    Args:
      device: Name of the device profile.
      hours: The time in which a task should do its steps.
    """
    profile = load_profile(device)
    parts = []
    for suite, member in (("velodrome-83", True), ("velodrome-extended", False)):
        specs = [spec for name, spec in published_tasks().items() if in_83(name) == member]
        fit = sum(Budget(profile, hours=hours).allows(description.cost(spec)) for spec in specs)
        parts.append(
            f"### {suite}\n\n{len(specs)} tasks, of which {fit} do {PROTOCOL_STEPS:,} steps in "
            f"{hours:g} hour on the profile {profile.label}."
        )
        rows = [_row(spec, device, hours) for spec in specs]
        parts.append(table_of_numbers(_HEADER, rows, words=2))
    return "\n\n".join(parts)


def _row(spec: TaskSpec, device: str, hours: float) -> list[str]:
    profile, cost = load_profile(device), description.cost(spec)
    excess = Budget(profile, hours=hours).excess(cost)
    seconds = predict_seconds(cost, profile)
    needed = f"{seconds * PROTOCOL_STEPS / 3600:.2g} h"
    verdict = f"yes, {needed}" if not excess else f"**no**: {needed}"
    if cost.memory_bytes > profile.memory_bytes:
        verdict += ", and too much memory"
    return [
        spec.name,
        spec.data.name,
        f"{spec.batch_size:,}",
        f"{cost.params:,}",
        f"{cost.flops / MFLOP:,.3g}" if cost.flops < 1e3 * MFLOP else f"{cost.flops / MFLOP:,.0f}",
        f"{cost.memory_bytes / 1e6:,.0f}",
        f"{1e3 * seconds:.3g}",
        verdict,
    ]


def with_tables(text: str) -> str:
    """Return a document with new tables between its marks.

    Raises:
      DataError: The document lacks the marks.
    """
    return between_marks(text, BEGIN, tables())


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the tables of a document; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python scripts/published_tasks_table.py", description=__doc__
    )
    parser.add_argument("document", type=Path, nargs="?", default=DOCUMENT)
    document: Path = parser.parse_args(arguments).document
    atomic_write_text(document, with_tables(document.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
