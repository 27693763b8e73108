"""A report inside a notebook: its tables in pandas, its figures to look at, and no files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from velodrome.results.analyses.reference import Reference
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures.all import plots
from velodrome.results.report.figures.figure import Plot
from velodrome.results.store.combined import open_stores


def read_results(
    directory: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    reference: Reference | None = None,
) -> ReportData:
    """Reads everything that a report of a store says, and writes nothing.

    Args:
      directory: the store; or several of the same tasks and protocol, with other optimizers or
        more seeds.
      reference: published envelopes, as for ``velodrome.report``.

    Returns:
      Tidy tables in pandas, such as ``summary`` (a row per task and optimizer), ``headline`` and
      ``curves``; ``tables()`` has all of them by name.

    Raises:
      StoreError: there is no readable store, or several do not belong together.
    """
    several = [directory] if isinstance(directory, str | os.PathLike) else list(directory)
    return collect(open_stores(several), reference=reference)


def figures(data: ReportData) -> dict[str, Plot]:
    """The figures of a report by name, such as ``"speedup_steps"``, in its order.

    A notebook shows one that is the last line of a cell, with its caption. Each has its numbers
    as ``table``, and ``figure()`` gives it to matplotlib.

    Args:
      data: from :func:`read_results`.

    Returns:
      Those that the data allow; nothing is drawn yet.
    """
    return {plot.name: plot for plot in plots(data)}
