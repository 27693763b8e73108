"""Write the leaderboard of ``sprint`` into its document, from the published field.

``python scripts/leaderboard.py`` rewrites the text between two marks in ``docs/leaderboard.md``; a
test makes it again and compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from velodrome.foundation.files import atomic_write_text
from velodrome.results.report.data import collect
from velodrome.results.report.standings import standings_table
from velodrome.results.report.tables import markdown_table
from velodrome.results.store.store import Store

ROOT = Path(__file__).parents[1]
FIELD = ROOT / "results" / "published" / "sprint"
DOCUMENT = ROOT / "docs" / "leaderboard.md"
BEGIN = "<!-- begin: python scripts/leaderboard.py -->"
END = "<!-- end -->"


def table() -> str:
    """Return the standings of the published field as Markdown."""
    data = collect(Store.open(FIELD, read_only=True))
    return f"{markdown_table(*standings_table(data))}\n\n{data.context.line}\n"


def replaced(text: str) -> str:
    """Return the document with the table of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def main() -> int:
    atomic_write_text(DOCUMENT, replaced(DOCUMENT.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
