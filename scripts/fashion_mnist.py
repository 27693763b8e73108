"""Compare sweeps of Adam on Fashion-MNIST with the published ones.

``python scripts/fashion_mnist.py STORE ...`` prints a Markdown table of the tasks in stores that
`make regenerate-fashion-mnist` has made: the losses that our envelope and the published one have
reached. ``--curves FILE`` also writes both envelopes as CSV.

``fashion_mnist_envelopes.json`` has the beginnings of the published envelopes of Adam for these
tasks: google/learned_optimization (Apache-2.0), baselines/data/speedup_over_adam.json at commit
ebdbcb0 of 4 May 2022.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_text
from velodrome.results.analyses.reference import read_envelopes
from velodrome.results.analyses.reference_comparison import at_published_steps
from velodrome.results.speedup.comparison import compare
from velodrome.results.store.store import Store

PUBLISHED = Path(__file__).with_name("fashion_mnist_envelopes.json")
STEPS = (1_000, 2_000, 5_000, 10_000)
HEADER = ("task", "seeds", "rates", "steps", "published", "ours", "difference")


def curves(stores: Sequence[Path]) -> pd.DataFrame:
    """Return our envelope and the published one of every task, at the steps of the published one.

    Raises:
      StoreError: A store has a task of another name, or an incomplete sweep of Adam.
    """
    known = read_envelopes(PUBLISHED)
    parts = []
    for directory in stores:
        for task in compare(Store.open(directory)):
            name, ours = str(task.about["task"]), task.envelopes.get("paper")
            if ours is None or task.incomplete or name not in known:
                why = task.incomplete or "no runs of Adam, or no published curve"
                raise StoreError(f"{directory}, {name}: {why}")
            published = known[name]
            steps, reached = at_published_steps(ours, task.evaluations, published)
            theirs = np.interp(steps, published.steps, published.losses)
            runs = {"seeds": len(ours.sweep.seeds), "rates": len(ours.sweep.points)}
            part = {"step": steps, "published": theirs, "ours": reached}
            parts.append(pd.DataFrame({"task": name, **runs, **part}))
    return pd.concat(parts, ignore_index=True)


def table(found: pd.DataFrame) -> str:
    """Return the losses after :data:`STEPS` as a Markdown table."""
    rows = [HEADER, (":--", *["--:"] * (len(HEADER) - 1))]
    for task in dict.fromkeys(found["task"]):
        part = found[found["task"] == task]
        runs = [str(np.asarray(part[name])[0]) for name in ("seeds", "rates")]
        at = np.asarray(part["step"], float)
        for steps in STEPS:
            if steps > at[-1]:
                continue
            theirs, ours = (
                float(np.interp(steps, at, np.asarray(part[side], float)))
                for side in ("published", "ours")
            )
            losses = (f"{theirs:.4g}", f"{ours:.4g}", f"{100 * (ours / theirs - 1):+.1f}%")
            rows.append((f"`{task}`", *runs, f"{steps:,}", *losses))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python scripts/fashion_mnist.py", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    parser.add_argument("--curves", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    found = curves(chosen.stores)
    if chosen.curves:
        atomic_write_text(chosen.curves, found.to_csv(index=False, float_format="%.8g"))
    print(table(found), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
