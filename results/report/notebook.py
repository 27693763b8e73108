"""A report inside a notebook: its tables in pandas, its figures to look at, and no files."""

from __future__ import annotations

from velodrome.results.analyses.reference import Reference
from velodrome.results.report.data import ReportData, StorePaths, collect, opened
from velodrome.results.report.figures.contents import plots
from velodrome.results.report.figures.figure import Plot
from velodrome.results.store.selection import Selection
from velodrome.results.store.target import Target


def read_results(
    directory: StorePaths,
    *,
    select: Selection | None = None,
    reference: Reference | None = None,
    target: Target | None = None,
) -> ReportData:
    """Read everything that a report of a store says, and write nothing.

    Args:
      directory: The store; or several of the same tasks and protocol, with other optimizers or
        more seeds.
      select: The question to answer, and what to show of it; by default all of the last one.
      reference: Published envelopes, as for ``velodrome.report``.
      target: What is to be reached on every task, as for ``velodrome.report``.

    Returns:
      Tidy tables in pandas, such as ``summary`` (a row per task and optimizer), ``headline`` and
      ``curves``; ``tables()`` has all of them by name.

    Raises:
      StoreError: There is no readable store, or several do not belong together.

    Examples:
      >>> results = velodrome.read_results("runs/mine")
      >>> speedups = results.summary.set_index("task")["speedup_steps_default"]
      >>> len(speedups)
      2
    """
    return collect(opened(directory, select), reference=reference, target=target)


def figures(data: ReportData) -> dict[str, Plot]:
    """Return the figures of a report by name, such as ``"speedup_steps"``, in its order.

    A notebook shows a figure, with its caption, when it is the last line of a cell. Each has its
    numbers as ``table``, and ``figure()`` gives it to matplotlib. Nothing is drawn before that.

    Examples:
      >>> results = velodrome.read_results("runs/mine")
      >>> plot = velodrome.figures(results)["learning_curves"]
      >>> figure = plot.figure()  # of matplotlib
    """
    return {plot.name: plot for plot in plots(data)}
