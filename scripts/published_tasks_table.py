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

from velodrome.foundation.errors import DataError
from velodrome.foundation.files import atomic_write_text
from velodrome.suites.published.tasks import in_83, published_tasks
from velodrome.taskgen import description
from velodrome.taskgen.budget import MFLOP, PROTOCOL_STEPS, Budget, load_profile, predict_seconds
from velodrome.taskgen.spec import TaskSpec

BEGIN = "<!-- begin: python scripts/published_tasks_table.py -->"
END = "<!-- end -->"

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
            f"{hours:g} hour on the profile {profile.label}.\n"
        )
        rows = [_row(spec, device, hours) for spec in specs]
        right = [":--" if at < 2 else "--:" for at in range(len(_HEADER))]
        parts.append("\n".join(_line(row) for row in (_HEADER, right, *rows)) + "\n")
    return "\n".join(parts)


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


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def with_tables(text: str) -> str:
    """Return a document with new tables between its marks.

    Raises:
      DataError: The document lacks the marks.
    """
    return between_marks(text, BEGIN, tables())


def between_marks(text: str, mark: str, new: str) -> str:
    """Return a document with ``new`` between the line ``mark`` and the line `END` after it.

    Raises:
      DataError: The document lacks the marks.
    """
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"the document needs the lines {mark} and {END}, in that order.")
    return f"{before}{mark}\n\n{new}\n{END}{after}"


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
