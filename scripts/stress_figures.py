"""Draw speedups against parameters, steps, or declared numbers of steps, from stores.

``python scripts/stress_figures.py steps runs/2k runs/20k runs/200k --out figures`` draws a figure
as PNG, PDF and SVG, and writes its numbers beside it as CSV. ``parameters`` takes a store of
``stress-parameters``, ``steps`` one of each ``stress-steps-N``, ``declared`` one of
``stress-horizon``; others will do if they vary in the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.publish_results import published_stores
from velodrome.foundation.errors import UnknownNameError
from velodrome.foundation.files import atomic_write_text
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures.drawing import draw
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.stress import AXES, plot
from velodrome.results.store.combined import open_stores


def figure_of(by: str, stores: Sequence[Path], optimizer: str | None = None) -> Plot:
    """Return the figure of stores, or of folders of stores that belong together.

    Args:
      by: One of `AXES`.
      optimizer: The label of the only optimizer that is drawn. None: all are.

    Raises:
      UnknownNameError: No store has such an optimizer.
    """
    found = [open_stores(published_stores(store) or [store]) for store in stores]
    reports = [collect(store, points=2) for store in found]
    if optimizer is not None:
        known = sorted(
            {str(result.row["label"]) for report in reports for result in report.results}
        )
        if optimizer not in known:
            raise UnknownNameError("optimizer", optimizer, known)
        reports = [_only(optimizer, report) for report in reports]
    return plot(next(name for name in AXES if name == by), reports)


def _only(label: str, report: ReportData) -> ReportData:
    results = [result for result in report.results if result.row["label"] == label]
    return dataclasses.replace(report, results=results)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figure; return the exit status."""
    parser = argparse.ArgumentParser(prog="python scripts/stress_figures.py", description=__doc__)
    parser.add_argument("by", choices=list(AXES))
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    parser.add_argument("--optimizer", metavar="LABEL", help="draw only this one")
    parser.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR")
    given = parser.parse_args(arguments)
    made = figure_of(given.by, given.stores, given.optimizer)
    given.out.mkdir(parents=True, exist_ok=True)
    files = draw(made, given.out).files
    atomic_write_text(given.out / f"{made.name}.csv", made.table.to_csv(index=False))
    atomic_write_text(given.out / f"{made.name}.txt", f"{made.caption}\n{made.alt}\n")
    print(made.table.to_string(index=False))
    print(f"drawn: {', '.join(map(str, files))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
