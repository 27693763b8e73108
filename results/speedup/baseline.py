"""The baseline's runs on one task, prepared once for all definitions and candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.definitions import Definition
from velodrome.results.speedup.progress import SweepNoise, sweep_makes_progress
from velodrome.results.store.curves import FOREVER, Sweep, seed_mean


@dataclass(frozen=True, eq=False)
class BaselineRuns:
    """The baseline's sweep, and what is computed of it once.

    What a run of N steps is compared by (progress, noise, saturation, the grid of ``paper``) is
    judged within N steps or set by the budget, so it does not depend on how far the sweep went.

    Attributes:
      planned: The budget, which is more than the last evaluated step if the sweep stopped before,
        or if every run diverged.
      known: The step up to which all is known that has to be; by default the runs say it.
    """

    sweep: Sweep
    planned: int | None = None
    known: int | None = None
    _smoothed: dict[tuple[float, bool], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict[tuple[float, bool], tuple[np.ndarray, np.ndarray]], repr=False
    )
    _noise: dict[int, SweepNoise] = field(default_factory=dict[int, SweepNoise], repr=False)

    def __post_init__(self) -> None:
        check_axis(self.sweep, "the baseline")

    @property
    def budget(self) -> int:
        return self.sweep.horizon if self.planned is None else self.planned

    @cached_property
    def end(self) -> int:
        """How far the sweep is known: to the budget also where every run has diverged."""
        if self.known is not None:
            return min(self.known, self.budget)
        # Of a run that diverged there is no row afterwards, so the last one is of before.
        ends, horizon = self.sweep.ends[self.sweep.present], self.sweep.horizon
        going = ((ends >= horizon) & (ends < FOREVER)).any()
        return horizon if going else self.budget

    @property
    def whole(self) -> bool:
        """Whether the sweep went to its budget."""
        return self.end >= self.budget

    @property
    def lost(self) -> bool:
        """Whether some seed of every rate has diverged, by its record or by its last loss."""
        diverged = (self.sweep.ends == FOREVER) | ~np.isfinite(self.sweep.losses[:, :, -1])
        return bool((diverged & self.sweep.present).any(axis=1).all())

    @property
    def raced(self) -> bool:
        """Whether some rates were dropped before the end."""
        return bool((self.sweep.ends[self.sweep.present] < self.sweep.horizon).any())

    @property
    def evaluations(self) -> int:
        """Evaluations of a run to the budget."""
        steps = self.sweep.steps
        every = int(steps[1] - steps[0]) if len(steps) > 1 else self.budget
        return -(-self.budget // max(every, 1)) + 1

    def noise(self, horizon: int) -> SweepNoise:
        """Return how much a loss must fall on this task for it not to be noise."""
        if horizon not in self._noise:
            losses = self.sweep.losses[:, :, : self.sweep.evaluations(horizon)]
            self._noise[horizon] = SweepNoise.of(losses, evaluations=self.evaluations)
        return self._noise[horizon]

    def progress(self, horizon: int) -> bool:
        """Return whether some rate makes progress on most of its seeds.

        It may make it within the whole sweep; what is noise is judged within the horizon.
        """
        sweep, noise = self.sweep, self.noise(horizon)
        within = sweep.evaluations(horizon)
        return sweep_makes_progress(sweep.losses, sweep.present, noise, within=within)

    def cap(self, found: Float[np.ndarray, "*values"], horizon: int) -> float:
        """Return the largest speedup that could be observed, where +inf was not reached.

        If all was reached, a longer sweep would have found the same: that is the budget's. If not,
        more is not known than how far the sweep went.
        """
        return float((self.end if np.isinf(found).any() else self.budget) / horizon)

    def smoothed(
        self, definition: Definition, evaluations: int
    ) -> tuple[Float[np.ndarray, "point seed eval"], Float[np.ndarray, "point eval"]]:
        """Return all runs and the seed-mean curves of the rates, smoothed by a definition.

        What two definitions smooth alike is smoothed once.
        """
        key = definition.decay(evaluations), definition.debias
        if key not in self._smoothed:
            smooth = definition.smooth_baseline(
                self.sweep.losses, candidate_evaluations=evaluations
            )
            self._smoothed[key] = smooth, seed_mean(smooth, self.sweep.present)
        return self._smoothed[key]


def check_comparable(baseline: Sweep, candidate: Sweep) -> None:
    """Raise StoreError unless both were evaluated at the same steps."""
    check_axis(candidate, "the candidate")
    common = min(len(baseline.steps), len(candidate.steps))
    if not np.array_equal(baseline.steps[:common], candidate.steps[:common]):
        raise StoreError(
            f"the baseline was evaluated at steps {_some(baseline.steps)}, the candidate at "
            f"{_some(candidate.steps)}: a comparison needs the same steps"
        )


def check_axis(sweep: Sweep, who: str) -> None:
    """Raise StoreError unless there are losses, at even distances."""
    if sweep.losses.size == 0:
        raise StoreError(f"{who} has no curves: run it first")
    gaps = np.diff(sweep.steps)
    if len(gaps) > 2 and np.ptp(gaps[:-1]) > 0:
        raise StoreError(f"{who} must be evaluated at even distances, not {_some(sweep.steps)}")


def _some(steps: np.ndarray) -> str:
    return ", ".join(str(step) for step in steps[:4]) + f", ... {steps[-1]}"
