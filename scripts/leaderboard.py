"""Write the leaderboard of ``sprint`` into its document, from the published stores.

``python scripts/leaderboard.py`` rewrites the texts between marks in ``docs/leaderboard.md``, and
the figure; a test makes the texts again and compares.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.documents import between_marks
from velodrome.foundation.files import atomic_write_text
from velodrome.results.report.data import collect
from velodrome.results.report.figures import horizon
from velodrome.results.report.figures.drawing import draw
from velodrome.results.report.sentences import horizon_line
from velodrome.results.report.standings import standings_table
from velodrome.results.report.tables import horizon_table, markdown_table
from velodrome.results.store.combined import open_stores

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "published"
FIELD = RESULTS / "sprint"
#: Learned optimizers whose weights must be fetched: a race does without them.
LEARNED = RESULTS / "sprint-learned"
#: The field's, with wrong numbers of steps declared.
DECLARED = RESULTS / "sprint-horizon"
DOCUMENT = ROOT / "docs" / "leaderboard.md"
FIGURE = ROOT / "docs" / "images" / "sprint-horizon.png"
BEGIN = "<!-- begin: python scripts/leaderboard.py, {} -->"


def standings() -> str:
    """Return the standings of the published field as Markdown."""
    data = collect(open_stores([FIELD, LEARNED]))
    return f"{markdown_table(*standings_table(data))}\n\n{data.context.line}"


def declared() -> str:
    """Return as Markdown what wrong numbers of steps cost."""
    data = collect(open_stores([DECLARED]))
    return f"{markdown_table(*horizon_table(data.horizon))}\n\n{horizon_line(data)}"


PARTS: Mapping[str, Callable[[], str]] = {"standings": standings, "declared": declared}


def replaced(text: str) -> str:
    """Return the document with the tables of today."""
    for name, part in PARTS.items():
        text = between_marks(text, BEGIN.format(name), part())
    return text


def main() -> int:
    atomic_write_text(DOCUMENT, replaced(DOCUMENT.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        for plot in horizon.plots(collect(open_stores([DECLARED]))):
            (png,) = (x for x in draw(plot, Path(folder)).files if x.suffix == ".png")
            shutil.copyfile(png, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
