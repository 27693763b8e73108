"""From tidy tables to the numbers of a figure; each is saved as CSV beside its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator

from velodrome.results.analyses.reference import Reference
from velodrome.results.analyses.tuning import rate_of
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.taskresult import (
    Split,
    TaskResult,
    Unit,
    labels,
    measured,
    unsaturated,
)

CURVE_COLUMNS = ("index", "task", "series", "label", "rate", "seed", "step", "loss")
SORTED_COLUMNS = (
    "label", "percentile", "task", "family", "speedup", "log2_speedup", "censored", "diverged",
    "low", "high", "band_low", "band_high", "seeds",
)  # fmt: skip
SERIES = ("rate", "envelope", "best", "published", "seed")
"""Kinds of learning curves; later ones are drawn over earlier ones."""
_LOG_FROM = 6.0
"""Losses that fall by more than this factor are drawn on a logarithmic axis."""


def learning_curves(
    task: TaskComparison, *, points: int, reference: Reference | None = None
) -> pd.DataFrame:
    """Return train losses of one task, smoothed as in the default definition.

    Returns:
      Rows of ``series`` "rate" (seed mean of one baseline rate), "envelope", "best" (the rate
      with the lowest loss at the budget), "seed" (one candidate seed) and "published" (the envelope
      of ``reference`` for the task's name, up to our budget). Losses from a divergence on are left
      out; "envelope" and "best" of an incomplete sweep too, and "best" if the sweep stopped before
      its budget. At most ``points`` evaluations of each, evenly chosen.
    """
    name = {"index": task.task.index, "task": task.task.label}
    parts: list[pd.DataFrame] = []

    def add(
        series: str, label: str, steps: np.ndarray, losses: np.ndarray,
        *, rate: float = np.nan, seed: int = -1,
    ) -> None:  # fmt: skip
        keep = np.unique(np.linspace(0, len(steps) - 1, min(points, len(steps))).astype(int))
        keep = keep[np.isfinite(losses[keep])]
        part = {**name, "series": series, "label": label, "rate": rate, "seed": seed}
        parts.append(pd.DataFrame({**part, "step": steps[keep], "loss": losses[keep]}))

    envelope = task.envelopes.get("default")
    if envelope is not None:
        rates = envelope.rates(task.evaluations)
        steps = envelope.sweep.steps
        baseline = task.baseline.label if task.baseline else ""
        for point, curve in zip(envelope.sweep.points, rates, strict=True):
            add("rate", baseline, steps, curve, rate=rate_of(point))
        if not task.incomplete:
            if envelope.runs.whole:
                best = best_point(rates)
                add("best", baseline, steps, rates[best], rate=rate_of(envelope.sweep.points[best]))
            add("envelope", baseline, envelope.steps, envelope.curve(task.evaluations))
        published = reference and reference.envelopes.get(str(name["task"]))
        if published:
            within = published.steps <= steps[-1]
            add("published", baseline, published.steps[within], published.losses[within])
        for outcome in task.outcomes:
            if outcome.train is None or outcome.point is None:
                continue
            smooth = envelope.definition.smooth_candidate(outcome.train.losses)[outcome.point]
            there = outcome.train.present[outcome.point]
            for seed, curve, present in zip(outcome.train.seeds, smooth, there, strict=True):
                if present:
                    add("seed", outcome.cell.label, outcome.train.steps, curve, seed=seed)
    if not parts:
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(CURVE_COLUMNS))


@dataclass(frozen=True)
class Curve:
    """One line of a panel; ``stopped`` marks a run that diverged before its last step."""

    series: str
    label: str
    steps: np.ndarray
    losses: np.ndarray
    stopped: bool


@dataclass(frozen=True)
class Panel:
    """The learning curves of one task, as matplotlib and the page draw them.

    Attributes:
      curves: In the order of drawing.
      last: The last step.
      low: Lower end of the axis of losses.
      high: Its upper end; what diverges leaves the panel.
      log: Whether that axis is logarithmic.
    """

    curves: tuple[Curve, ...]
    last: int
    low: float
    high: float
    log: bool

    def loss_locator(self, most: int) -> LogLocator | MaxNLocator:
        """Choose about ``most`` ticks for the axis of losses."""
        if not self.log:
            return MaxNLocator(most)
        wide = self.high / self.low
        subs = (1.0,) if wide > 300 else (1.0, 3.0) if wide > 30 else (1.0, 2.0, 5.0)
        return LogLocator(10, subs=subs, numticks=most)


def panel(curves: pd.DataFrame, horizon: int) -> Panel:
    """Lay out the curves of one task.

    Args:
      curves: Rows of :func:`learning_curves`, at least one.
      horizon: Last step of the candidates.
    """
    lines = []
    for _, part in curves.groupby(["series", "label", "rate", "seed"], sort=False, dropna=False):
        series, steps = str(part["series"].iloc[0]), part["step"].to_numpy()
        stopped = series == "seed" and bool(steps[-1] < horizon)
        losses = part["loss"].to_numpy(float)
        lines.append(Curve(series, str(part["label"].iloc[0]), steps, losses, stopped))
    lines.sort(key=lambda line: SERIES.index(line.series))
    steps, losses = curves["step"].to_numpy(), curves["loss"].to_numpy(float)
    first = float(np.median(losses[steps == steps.min()]))
    # The envelope and the candidates decide; an incomplete sweep may have nothing but rates.
    chosen = (curves["series"] != "rate").to_numpy()
    lowest = float(losses[chosen if chosen.any() else slice(None)].min())
    last = int(steps.max())
    log = bool(lowest > 0 and first / lowest > _LOG_FROM)
    # A candidate that ends above the start is shown, unless it would leave no room for the others.
    room = first * first / lowest if log else first + max(first - lowest, 1e-9)
    ends = [line.losses[-1] for line in lines if line.series == "seed"]
    highest = max([first, *(end for end in ends if end <= room)])
    if log:
        return Panel(tuple(lines), last, lowest / 1.15, highest * 1.3, log=True)
    span = max(highest - lowest, 1e-9)
    return Panel(tuple(lines), last, lowest - 0.06 * span, highest + 0.12 * span, log=False)


def sorted_speedups(
    results: Sequence[TaskResult], *, unit: Unit = "steps", split: Split = "train"
) -> pd.DataFrame:
    """Return speedups by the default definition, sorted for each optimizer.

    Saturated tasks are left out, and so are tasks without a speedup in this unit. The task of
    rank i (from 0) of n stands at percentile ``100 (i + 1/2) / n``.

    Returns:
      ``band_low`` and ``band_high`` are the 95% band of the curve at that rank, for the same tasks
      and new seeds. ``low`` and ``high`` are the interval of the task itself, NaN under 5 seeds.
    """
    parts: list[dict[str, object]] = []
    for label in labels(results):
        known = measured(unsaturated(results, label), unit=unit, split=split)
        chosen = list(zip(known.results, known.splits, known.shift.tolist(), strict=True))
        # Among equals (all at the cap) censored ones come last: they are at least that.
        chosen.sort(key=lambda x: (x[1].ratio * 2 ** x[2], x[1].censored))
        shifts = np.array([shift for *_, shift in chosen])
        band = Sample([found.resamples for _, found, _ in chosen]).sorted_band(shifts)
        for rank, (result, found, shift) in enumerate(chosen):
            ratio = found.ratio * 2.0**shift
            low, high = found.interval()
            parts.append(
                {
                    "label": label,
                    "percentile": 100 * (rank + 0.5) / len(chosen),
                    "task": result.row["task"],
                    "family": result.row["family"],
                    "speedup": ratio,
                    "log2_speedup": float(np.log2(ratio)) if ratio > 0 else -np.inf,
                    "censored": "right" if found.censored else "no",
                    "diverged": split == "train" and bool(result.row.get("diverged_default")),
                    "low": low * 2.0**shift,
                    "high": high * 2.0**shift,
                    "band_low": float(np.exp2(band[0][rank])),
                    "band_high": float(np.exp2(band[1][rank])),
                    "seeds": found.log2_seeds.size,
                }
            )
    return pd.DataFrame(parts, columns=list(SORTED_COLUMNS))


def is_censored(summary: pd.DataFrame, label: str, task: str) -> bool:
    """Say whether an optimizer's speedup on a task is a lower bound, by the default definition."""
    mine = (summary["label"] == label) & (summary["task"] == task)
    return bool((summary.loc[mine, "censored_default"] == "right").any())
