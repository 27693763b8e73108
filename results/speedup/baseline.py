"""The baseline's runs on one task, prepared once for all definitions and candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.definitions import Definition
from velodrome.results.speedup.progress import SweepNoise, sweep_makes_progress
from velodrome.results.store.curves import Sweep, seed_mean


@dataclass(frozen=True, eq=False)
class BaselineRuns:
    """The baseline's sweep, and what is computed of it once.

    Attributes:
      planned: Planned steps, which are more than the last evaluated one only if every run
        diverged before its end.
    """

    sweep: Sweep
    planned: int | None = None
    _smoothed: dict[tuple[float, bool], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict[tuple[float, bool], tuple[np.ndarray, np.ndarray]], repr=False
    )

    def __post_init__(self) -> None:
        check_axis(self.sweep, "the baseline")

    @property
    def budget(self) -> int:
        return self.sweep.horizon if self.planned is None else self.planned

    @cached_property
    def noise(self) -> SweepNoise:
        """How much a loss must fall on this task for it not to be noise."""
        return SweepNoise.of(self.sweep.losses)

    @cached_property
    def progress(self) -> bool:
        """Whether some rate makes progress on most of its seeds."""
        return sweep_makes_progress(self.sweep.losses, self.sweep.present, self.noise)

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
