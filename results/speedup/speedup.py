"""How many times fewer steps a candidate needs than the tuned baseline.

The candidate trains for N steps and ends at some loss. The speedup is the step at which the
baseline's envelope reaches that loss, divided by N. A loss that the baseline never reaches within
its budget of K N steps gives a speedup of *at least* K: it is right-censored, never a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from velodrome.results.speedup.baseline import BaselineRuns, check_comparable
from velodrome.results.speedup.definitions import DEFINITIONS, Definition, definition_of
from velodrome.results.speedup.envelope import Resampling, Steps, envelope, steps_to_loss
from velodrome.results.speedup.progress import makes_progress, most
from velodrome.results.store.curves import Curves, Sweep, seed_mean

Censored = Literal["no", "right", "left"]


@dataclass(frozen=True)
class Speedup:
    """The speedup of one candidate on one task.

    Attributes:
      ratio: The task's speedup in steps; equal to ``cap`` when right-censored, 0 when the
        candidate diverged, made no progress or is no better than the untrained network.
      censored: ``"right"``: the ratio is a lower bound; ``"left"``: the candidate made no progress,
        or its loss is not below the baseline's first, the ratio is 0; ``"no"``.
      diverged: Whether the ratio is 0 because of divergence: it would not be 0 if the seeds that
        diverged had done well.
      per_seed: Ratio of each candidate seed, in the order of ``seeds``.
      progress: Whether most seeds of the candidate made progress.
      reached: Whether the baseline has reached every loss that the ratio comes from.
      cap: The largest speedup that could be observed: the baseline's budget over the candidate's
        horizon, or where its sweep stopped if it had not reached a loss by then.
      point: Index of the candidate's grid point (0 if it has no sweep).
    """

    ratio: float
    censored: Censored
    diverged: bool
    per_seed: Float[np.ndarray, " seed"]
    seeds: tuple[int, ...]
    seeds_diverged: int
    progress: bool
    reached: bool
    cap: float
    point: int
    definition: str

    @property
    def text(self) -> str:
        """For tables: ``3.2x``, ``>=5x``, ``diverged``."""
        return format_ratio(self.ratio, censored=self.censored, diverged=self.diverged)


def format_ratio(ratio: float, *, censored: str = "no", diverged: bool = False) -> str:
    """Return ``3.2x``, ``>=5x`` if right-censored, ``diverged``, ``unbounded``, blank for NaN."""
    if np.isnan(ratio):
        return ""
    if diverged:
        return "diverged"
    if np.isinf(ratio):
        return "unbounded"
    whole = ratio >= 1 and ratio == round(ratio)
    digits = f"{ratio:.0f}" if whole else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"
    return f"{'>=' if censored == 'right' else ''}{digits}x"


def speedup(
    baseline: Curves,
    candidate: Curves,
    *,
    definition: str = "default",
    horizon: int | None = None,
    budget: int | None = None,
) -> Speedup:
    """Compare a candidate's curves with the baseline's sweep on one task.

    A diverged lane counts as +inf from its divergence on: a baseline rate with any diverged seed
    is out from that step, a candidate seed that diverged has speedup 0. The task's value is the
    median over candidate seeds, taken in log2, which stays exact while fewer than half of the
    seeds are censored or diverged (``paper``: the speedup of the seed-mean curve). A candidate
    with a sweep is represented by its rate with the lowest seed-mean last loss.

    A seed that makes no progress from its own first loss (see
    ``velodrome.results.speedup.progress``) has speedup 0; where the baseline makes none, a seed
    that does is right-censored. If neither side makes progress the ratio, 0, means nothing.

    Args:
      baseline: All rates and seeds, up to the budget.
      candidate: Its lanes up to its horizon, evaluated at the same steps.
      definition: ``"default"``, ``"paper"`` or ``"strict"``.
      horizon: The candidate's planned steps; needed if all its lanes may have ended early.
      budget: The baseline's planned steps; needed for the same reason, and if its sweep stopped
        before.

    Raises:
      StoreError: A side is empty, or they were evaluated at different steps.
      UnknownNameError: No such definition.

    Examples:
      >>> cells = list(velodrome.Store.open("runs/mine", read_only=True).cells())
      >>> task = cells[0].task.hash
      >>> adam, other = (cell for cell in cells if cell.task.hash == task)
      >>> found = velodrome.speedup(adam.curves(), other.curves())
      >>> found.text, found.censored
      ('1.33x', 'no')
    """
    theirs = BaselineEnvelope(BaselineRuns(baseline.sweep(), budget), definition_of(definition))
    return theirs.speedup_of(candidate.sweep(), horizon=horizon)


@dataclass(frozen=True, eq=False)
class BaselineEnvelope:
    """What candidates are compared with on one task, by one definition.

    How it is smoothed depends on the number of a candidate's evaluations: the methods take it.
    """

    runs: BaselineRuns
    definition: Definition = DEFINITIONS["default"]

    @property
    def sweep(self) -> Sweep:
        return self.runs.sweep

    def smoothed(self, evaluations: int) -> Float[np.ndarray, "point seed eval"]:
        """Return all runs, smoothed as the definition says."""
        return self.runs.smoothed(self.definition, evaluations)[0]

    def rates(self, evaluations: int) -> Float[np.ndarray, "point eval"]:
        """Return the smoothed seed-mean curve of every rate."""
        return self.runs.smoothed(self.definition, evaluations)[1]

    @property
    def steps(self) -> Steps:
        """Steps of `curve`."""
        runs = self.runs
        return self.definition.grid(
            self.sweep.steps, budget=runs.budget, evaluations=runs.evaluations
        )

    @property
    def onto(self) -> Resampling | None:
        """How the envelope is resampled; None if it is taken at every evaluation."""
        return None if self.steps is self.sweep.steps else (self.sweep.steps, self.steps)

    def curve(self, evaluations: int, onto: Resampling | None = None) -> Float[np.ndarray, " step"]:
        """Return the running minimum over rates, or of the best, at `steps` or ``onto``."""
        rates, kind = self.rates(evaluations), self.definition.envelope
        return envelope(rates, kind=kind, onto=self.onto if onto is None else onto)

    def to_beat(
        self, reached: Float[np.ndarray, "*draw eval"], horizon: int
    ) -> Float[np.ndarray, "*draw eval"]:
        """Return what candidates are compared with: +inf where the baseline makes no progress.

        Its first loss is that of an untrained network, which no candidate should be credited for.
        """
        return reached if self.runs.progress(horizon) else np.full_like(reached, np.inf)

    def speedup_of(self, candidate: Sweep, *, horizon: int | None = None) -> Speedup:
        """Return the candidate's speedup; see `speedup`."""
        check_comparable(self.sweep, candidate)
        horizon = candidate.horizon if horizon is None else horizon
        targets = final_losses(candidate, self.definition, horizon=horizon)
        point = chosen_point(targets, candidate.present)
        reached, steps = self.to_beat(self.curve(len(candidate.steps)), horizon), self.steps
        present, noise = candidate.present[point], self.runs.noise(horizon)
        targets = targets[point][present]
        moved = makes_progress(candidate.losses[point][present], targets, noise)
        progress = most(moved)
        per_seed = ratios(steps, reached, targets, moved, horizon=horizon)
        diverged = ~np.isfinite(targets)
        if self.definition.seeds == "mean-curve":
            mean = np.array([targets.mean()])
            curve = candidate.losses[point][present].mean(axis=0, keepdims=True)
            moved = makes_progress(curve, mean, noise)
            found = ratios(steps, reached, mean, moved, horizon=horizon)
            cap, ratio = self.runs.cap(found, horizon), float(found[0])
            lost = bool(diverged.any())
            right = bool(np.isinf(ratio))
        else:
            found = per_seed
            cap = self.runs.cap(found, horizon)
            ratio, right = median_ratio(per_seed, cap=cap)
            # Whether it would not be 0 if the diverged seeds had not diverged.
            kept = np.where(diverged, np.inf, per_seed)
            lost = ratio == 0 and median_ratio(kept, cap=cap)[0] > 0
        left = ratio == 0 and not lost
        return Speedup(
            ratio=min(ratio, cap),
            censored="right" if right else "left" if left else "no",
            diverged=lost,
            per_seed=per_seed,
            seeds=tuple(s for s, there in zip(candidate.seeds, present, strict=True) if there),
            seeds_diverged=int(diverged.sum()),
            progress=progress,
            reached=not bool(np.isinf(found).any()),
            cap=cap,
            point=point,
            definition=self.definition.name,
        )


def final_losses(
    candidate: Sweep, definition: Definition, *, horizon: int
) -> Float[np.ndarray, "point seed"]:
    """Return the last smoothed loss of every run; +inf if it diverged or ended too early."""
    if candidate.horizon < horizon:
        return np.full(candidate.present.shape, np.inf)
    return definition.smooth_candidate(candidate.losses)[:, :, -1]


def chosen_point(
    targets: Float[np.ndarray, "point seed"], present: Bool[np.ndarray, "point seed"]
) -> int:
    """Return the grid point that stands for a candidate: the lowest seed-mean last loss."""
    return int(np.argmin(seed_mean(targets[:, :, None], present)[:, 0]))


def ratios(
    steps: np.ndarray,
    reached: np.ndarray,
    targets: np.ndarray,
    moved: Bool[np.ndarray, "*targets"],
    *,
    horizon: int,
) -> Float[np.ndarray, "*targets"]:
    """Return the speedup for every target loss.

    +inf if the baseline never gets there, 0 for a run that has not ``moved`` and for an infinite
    target: the candidate diverged.
    """
    found = steps_to_loss(steps, reached, targets) / horizon
    return np.where(np.isfinite(targets) & moved, found, 0.0)


def median_ratio(per_seed: Float[np.ndarray, " seed"], *, cap: float) -> tuple[float, bool]:
    """Return the median in log2 of speedups, at most ``cap``, and whether it is a lower bound.

    +inf stands for "not within ``cap``". If their number is even, the two in the middle are
    averaged in log2; one censored value there makes a lower bound.
    """
    ordered = np.sort(per_seed)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    low, high = (float(min(ratio, cap)) for ratio in (middle[0], middle[-1]))
    # The mean of two logarithms, exact where they are equal.
    value = low if low == high else float(np.sqrt(low * high))
    return value, bool(np.isinf(middle).any() and value > 0)


def seconds_ratio(steps_ratio: float, step_time_ratio: float | None) -> float:
    """Return the speedup in seconds; NaN without a ratio of the seconds per step.

    That ratio, candidate's over baseline's, comes from one interleaved measurement on one machine.
    """
    return float("nan") if step_time_ratio is None else steps_ratio / step_time_ratio
