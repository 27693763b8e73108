"""Write the table of what the paper's six workloads would take into its page.

``python scripts/mlcommons_table.py`` rewrites the text between two marks in
``docs/explanation/mlcommons.md``; a test makes it again and compares. Nothing is measured: costs
are closed forms, and times are predictions.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.documents import between_marks, table_of_numbers
from scripts.mlcommons_suites import TRIALS
from velodrome.foundation.files import atomic_write_text
from velodrome.foundation.text import size
from velodrome.taskgen.budget import devices_needed, load_profile, predict_seconds
from velodrome.taskgen.registry import families
from velodrome.taskgen.views import AudioView, GraphView, ImageView, PackedPairView, View

BEGIN = "<!-- begin: python scripts/mlcommons_table.py -->"
DOCUMENT = Path("docs/explanation/mlcommons.md")
DEVICE = "h100"
SHORTER = 0.75

_SPEECH = AudioView(320_000, 0, 256, 1_024)
#: Family, how the workload sees its data, batch size, and the steps of the paper.
WORKLOADS: tuple[tuple[str, View, int, int], ...] = (
    ("vit_s16", ImageView(224, 3, 1_000), 1_024, 186_666),
    ("resnet50", ImageView(224, 3, 1_000), 1_024, 186_666),
    ("wmt_transformer", PackedPairView(256, 256, 32_000), 128, 66_666),
    ("deepspeech", _SPEECH, 256, 80_000),
    ("conformer", _SPEECH, 256, 153_333),
    ("gnn", GraphView(26, 56, 9, 3, 128), 512, 80_000),
)
_HEADER = (
    "family", "batch", "steps N", "TFLOP a step", "memory", f"{DEVICE}s for it", "VeLO, N",
    f"VeLO, {SHORTER} N", f"Adam, {TRIALS} x N",
)  # fmt: skip


def table() -> str:
    """Return the table as Markdown; times are hours of one device, without the optimizer's work."""
    return table_of_numbers(_HEADER, [_row(*workload) for workload in WORKLOADS])


def _row(name: str, view: View, batch_size: int, steps: int) -> tuple[str, ...]:
    family, profile = families.get(name), load_profile(DEVICE)
    assert family.cost is not None  # all of them have closed forms
    cost = family.cost(family.config(), view, batch_size)
    hours = steps * predict_seconds(cost, profile) / 3600
    return (
        f"`{name}`",
        f"{batch_size:,}",
        f"{steps:,}",
        f"{cost.flops / 1e12:.3g}",
        size(cost.memory_bytes),
        str(devices_needed(cost.memory_bytes, batch_size, profile)),
        *(_hours(hours * times) for times in (1, SHORTER, TRIALS)),
    )


def _hours(hours: float) -> str:
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.2g} h"


def main() -> int:
    """Rewrite the document; return the exit status."""
    text = DOCUMENT.read_text(encoding="utf-8")
    atomic_write_text(DOCUMENT, between_marks(text, BEGIN, table()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
