"""Print a table of other lengths, widths and declared horizons.

``python scripts/generalisation.py STORE ...`` prints a Markdown table with a row for each store,
width and optimizer; the stores are ``heldout-8`` run for other numbers of steps or with
``horizon:FACTOR:...``, and ``heldout-8-width``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts.publish_results import published_stores
from velodrome.results.analyses.headline import headlines, ratio_text
from velodrome.results.report.data import collect
from velodrome.results.speedup.taskresult import TaskResult, labels
from velodrome.results.store.combined import open_stores

COLUMNS = (
    "store", "steps", "width", "optimizer", "tasks", "median speedup", "IQM",
    "loss / baseline's", "diverged",
)  # fmt: skip


def rows(directory: Path) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a store, or of a folder of stores with other optimizers.

    Speedups are in steps, with intervals for these tasks and new seeds. A loss is the last one
    over that of the baseline's best rate after as many steps, in the geometric mean over tasks
    (without those that end in no finite loss).
    """
    # A folder of stores if the baseline was run by itself.
    results = collect(open_stores(published_stores(directory) or [directory]), points=2).results
    widths = sorted({width(str(result.row["task"])) for result in results})
    for times in widths:
        mine = [result for result in results if width(str(result.row["task"])) == times]
        found = {h.label: h for h in headlines(mine) if _is_shown(h)}
        for label in labels(mine):
            of_label = [result for result in mine if result.row["label"] == label]
            total = found[label]
            yield (
                directory.name,
                str(of_label[0].row["steps"]),
                f"x{times}",
                label,
                f"{total.tasks} of {total.planned}",
                ratio_text(total.median, same_tasks=True),
                ratio_text(total.iqm, same_tasks=True),
                _loss_ratio(of_label),
                str(total.counts["diverged"]),
            )


def width(task: str) -> int:
    """Return how many times as wide a task is as the one it was made from, by its name."""
    found = re.search(r"-x(\d+)$", task)
    return int(found[1]) if found else 1


def _is_shown(headline: object) -> bool:
    wanted = {"unit": "steps", "scope": "all", "split": "train"}
    return all(getattr(headline, name) == value for name, value in wanted.items())


def _loss_ratio(results: Sequence[TaskResult]) -> str:
    def losses(name: str) -> np.ndarray:
        return np.array([result.row.get(name, np.nan) for result in results], float)

    ratios = losses("candidate_train") / losses("baseline_train")
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    return f"{np.exp(np.mean(np.log(known))):.3f}" if len(known) else "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python scripts/generalisation.py", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    stores = parser.parse_args(arguments).stores
    for row in (COLUMNS, ("---",) * len(COLUMNS), *(row for s in stores for row in rows(s))):
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
