"""How many times fewer steps a candidate needs than the tuned baseline.

The candidate trains for N steps and ends at some loss. The speedup is the step at which the
baseline's envelope reaches that loss, divided by N. A loss that the baseline never reaches within
its budget of K N steps gives a speedup of *at least* K: it is right-censored, never a number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.definitions import DEFINITIONS, Definition, definition_of
from velodrome.results.speedup.envelope import Resampling, Steps, envelope, steps_to_loss
from velodrome.results.speedup.progress import SweepNoise, makes_progress, sweep_makes_progress
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
      cap: Budget of the baseline over the candidate's horizon.
      point: Index of the candidate's grid point (0 if it has no sweep).
    """

    ratio: float
    censored: Censored
    diverged: bool
    per_seed: Float[np.ndarray, " seed"]
    seeds: tuple[int, ...]
    seeds_diverged: int
    progress: bool
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
      budget: The baseline's planned steps; needed for the same reason.

    Raises:
      StoreError: A side is empty, or they were evaluated at different steps.
      UnknownNameError: No such definition.
    """
    theirs = BaselineEnvelope(baseline.sweep(), definition_of(definition), budget)
    return theirs.speedup_of(candidate.sweep(), horizon=horizon)


@dataclass(frozen=True, eq=False)
class BaselineEnvelope:
    """The baseline's side of the comparison on one task, prepared once for many candidates.

    How it is smoothed depends on the number of a candidate's evaluations: the methods take it.

    Attributes:
      planned: Planned steps, which are more than the last evaluated one only if every run
        diverged before its end.
    """

    sweep: Sweep
    definition: Definition = DEFINITIONS["default"]
    planned: int | None = None
    # Shared by the definitions of one sweep: what two of them smooth alike is smoothed once.
    _curves: dict[tuple[float, bool], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict[tuple[float, bool], tuple[np.ndarray, np.ndarray]], repr=False
    )
    _progress: list[bool] = field(default_factory=list[bool], repr=False)

    def __post_init__(self) -> None:
        _check_axis(self.sweep, "the baseline")

    @property
    def budget(self) -> int:
        return self.sweep.horizon if self.planned is None else self.planned

    @property
    def progress(self) -> bool:
        """Whether some rate makes progress on most of its seeds."""
        if not self._progress:
            losses, present = self.sweep.losses, self.sweep.present
            self._progress.append(sweep_makes_progress(losses, present, self.noise))
        return self._progress[0]

    @cached_property
    def noise(self) -> SweepNoise:
        """How much a loss must fall on this task for it not to be noise."""
        return SweepNoise.of(self.sweep.losses)

    def by(self, definition: Definition) -> BaselineEnvelope:
        """Return the envelope of these runs by another definition."""
        return replace(self, definition=definition)

    def smoothed(self, evaluations: int) -> Float[np.ndarray, "point seed eval"]:
        """Return all runs, smoothed as the definition says."""
        return self._smooth(evaluations)[0]

    def rates(self, evaluations: int) -> Float[np.ndarray, "point eval"]:
        """Return the smoothed seed-mean curve of every rate."""
        return self._smooth(evaluations)[1]

    def _smooth(self, evaluations: int) -> tuple[np.ndarray, np.ndarray]:
        key = self.definition.decay(evaluations), self.definition.debias
        if key not in self._curves:
            smooth = self.definition.smooth_baseline(
                self.sweep.losses, candidate_evaluations=evaluations
            )
            self._curves[key] = smooth, seed_mean(smooth, self.sweep.present)
        return self._curves[key]

    @property
    def steps(self) -> Steps:
        """Steps of :meth:`curve`."""
        return self.definition.grid(self.sweep.steps)

    @property
    def onto(self) -> Resampling | None:
        """How the envelope is resampled; None if it is taken at every evaluation."""
        return None if self.steps is self.sweep.steps else (self.sweep.steps, self.steps)

    def curve(self, evaluations: int, onto: Resampling | None = None) -> Float[np.ndarray, " step"]:
        """Return the running minimum over rates, or of the best, at :attr:`steps` or ``onto``."""
        rates, kind = self.rates(evaluations), self.definition.envelope
        return envelope(rates, kind=kind, onto=self.onto if onto is None else onto)

    def to_beat(self, reached: Float[np.ndarray, "*draw eval"]) -> Float[np.ndarray, "*draw eval"]:
        """Return what candidates are compared with: +inf where the baseline makes no progress.

        Its first loss is that of an untrained network, which no candidate should be credited for.
        """
        return reached if self.progress else np.full_like(reached, np.inf)

    def speedup_of(self, candidate: Sweep, *, horizon: int | None = None) -> Speedup:
        """Return the candidate's speedup; see :func:`speedup`."""
        check_comparable(self.sweep, candidate)
        horizon = candidate.horizon if horizon is None else horizon
        targets = final_losses(candidate, self.definition, horizon=horizon)
        point = chosen_point(targets, candidate.present)
        reached, steps = self.to_beat(self.curve(len(candidate.steps))), self.steps
        present = candidate.present[point]
        targets = targets[point][present]
        moved = makes_progress(candidate.losses[point][present], targets, self.noise)
        progress = bool(2 * moved.sum() > len(moved))
        per_seed = ratios(steps, reached, targets, moved, horizon=horizon)
        cap = float(self.budget / horizon)
        diverged = ~np.isfinite(targets)
        if self.definition.seeds == "mean-curve":
            mean = np.array([targets.mean()])
            curve = candidate.losses[point][present].mean(axis=0, keepdims=True)
            moved = makes_progress(curve, mean, self.noise)
            ratio = float(ratios(steps, reached, mean, moved, horizon=horizon)[0])
            lost = bool(diverged.any())
            right = bool(np.isinf(ratio))
        else:
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


def check_comparable(baseline: Sweep, candidate: Sweep) -> None:
    """Raise StoreError unless both were evaluated at the same steps."""
    _check_axis(candidate, "the candidate")
    common = min(len(baseline.steps), len(candidate.steps))
    if not np.array_equal(baseline.steps[:common], candidate.steps[:common]):
        raise StoreError(
            f"the baseline was evaluated at steps {_some(baseline.steps)}, the candidate at "
            f"{_some(candidate.steps)}: a comparison needs the same steps"
        )


def _check_axis(sweep: Sweep, who: str) -> None:
    if sweep.losses.size == 0:
        raise StoreError(f"{who} has no curves: run it first")
    gaps = np.diff(sweep.steps)
    if len(gaps) > 2 and np.ptp(gaps[:-1]) > 0:
        raise StoreError(f"{who} must be evaluated at even distances, not {_some(sweep.steps)}")


def _some(steps: np.ndarray) -> str:
    return ", ".join(str(step) for step in steps[:4]) + f", ... {steps[-1]}"
