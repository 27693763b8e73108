"""Loss curves with named axes: `Curves` as stored, `Sweep` as compared."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from velodrome.foundation.errors import StoreError
from velodrome.results.store.plan import Hyperparameters, LaneInfo

FOREVER = int(np.iinfo(np.int64).max)
"""How far a run is known that has diverged: it stays lost, however long it goes on."""
TRIAL = "trial"
"""The hyperparameter that numbers the trials of an ordered list, such as ``nadamw_list:10``."""


@dataclass(frozen=True)
class Curves:
    """Curves of the lanes of one cell on a common grid of steps.

    Attributes:
      steps: Training steps made before each evaluation, strictly increasing.
      values: The metric as it was measured; NaN where a lane has no row.
      lanes: One entry for each row of ``values``.
      split: ``"train"`` or ``"heldout"``.
      metric: For example ``"loss"``.
    """

    steps: Int[np.ndarray, " eval"]
    values: Float[np.ndarray, "lane eval"]
    lanes: tuple[LaneInfo, ...]
    split: str = "train"
    metric: str = "loss"

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.lanes), len(self.steps)):
            raise StoreError(
                f"curves have shape {self.values.shape}, but there are {len(self.lanes)} lanes "
                f"and {len(self.steps)} steps: pass values[lane, eval]"
            )
        if len(self.steps) > 1 and not np.all(np.diff(self.steps) > 0):
            raise StoreError("the steps of a curve must increase strictly: sort and merge the rows")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Distinct seeds, ascending."""
        return tuple(sorted({lane.seed for lane in self.lanes}))

    def losses(self) -> Float[np.ndarray, "lane eval"]:
        """Return values for ranking: float64, +inf from a lane's divergence on.

        A lane has diverged from its recorded ``diverged_at`` step or from its first value that
        is not finite, whichever comes first. A lane that ends early without having been marked
        as diverged counts as diverged from its last row: an unknown loss never wins.
        """
        values = self.values.astype(np.float64)
        bad = ~np.isfinite(values)
        for row, lane in enumerate(self.lanes):
            if lane.diverged_at is not None:
                bad[row] |= self.steps >= lane.diverged_at
        values[np.logical_or.accumulate(bad, axis=1)] = np.inf
        return values

    def ends(self) -> Int[np.ndarray, " lane"]:
        """Return the last step up to which each lane is known; see :data:`FOREVER`."""
        diverged = [x.diverged_at is not None or x.status == "diverged" for x in self.lanes]
        last = np.where(np.isfinite(self.values), self.steps, 0).max(axis=1, initial=0)
        return np.where(diverged, FOREVER, last)

    def sweep(self) -> Sweep:
        """Rearrange the lanes into axes (point, seed, eval)."""
        points: dict[str, Hyperparameters] = {}
        for lane in self.lanes:
            points.setdefault(lane.point, lane.hyperparameters)
        order = sorted(points, key=lambda p: _sort_key(points[p]))
        seeds = self.seeds
        losses = np.full((len(order), len(seeds), len(self.steps)), np.inf)
        present = np.zeros((len(order), len(seeds)), dtype=bool)
        ends = np.full(present.shape, FOREVER)
        for lane, curve, end in zip(self.lanes, self.losses(), self.ends(), strict=True):
            where = order.index(lane.point), seeds.index(lane.seed)
            if present[where]:
                raise StoreError(
                    f"two lanes have seed {lane.seed} and hyperparameters {lane.point}: "
                    "a cell holds each run once"
                )
            losses[where], present[where], ends[where] = curve, True, end
        return Sweep(self.steps, losses, tuple(points[p] for p in order), seeds, present, ends)


@dataclass(frozen=True)
class Sweep:
    """Losses of one optimizer on one task, by grid point and seed.

    Attributes:
      steps: Training steps before each evaluation.
      losses: float64; +inf from the divergence of a run on, and where a run is absent.
      points: Hyperparameters of each grid point, ascending in their values.
      seeds: Ascending.
      present: Whether the run (point, seed) is in the store.
      ends: How far it is known; :data:`FOREVER` where it is absent.
      own_seeds: Whether a seed stands for other first parameters and batches than the same seed of
        other optimizers, as in imported curves.
    """

    steps: Int[np.ndarray, " eval"]
    losses: Float[np.ndarray, "point seed eval"]
    points: tuple[Hyperparameters, ...]
    seeds: tuple[int, ...]
    present: Bool[np.ndarray, "point seed"]
    ends: Int[np.ndarray, "point seed"]
    own_seeds: bool = False

    @property
    def diverged(self) -> Bool[np.ndarray, "point seed"]:
        """Whether the run (point, seed) is present and ends in a loss that is not finite."""
        return self.present & ~np.isfinite(self.losses[:, :, -1])

    @property
    def horizon(self) -> int:
        """The last evaluated step."""
        return int(self.steps[-1])

    @property
    def in_order(self) -> bool:
        """Whether the points are trials of a list, to be tried in the order of their numbers."""
        return all(set(point) == {TRIAL} for point in self.points)

    def evaluations(self, step: int) -> int:
        """Return how many evaluations there are up to a step, at least 1."""
        return max(1, int(np.searchsorted(self.steps, step, side="right")))

    def until(self, step: int) -> Sweep:
        """Return the runs cut after ``step``."""
        keep = self.steps <= step
        return replace(self, steps=self.steps[keep], losses=self.losses[:, :, keep])

    def seed_mean(self) -> Float[np.ndarray, "point eval"]:
        """Average over the seeds that are present; one diverged seed makes it +inf from there."""
        return seed_mean(self.losses, self.present)


def seed_mean(
    losses: Float[np.ndarray, "point seed eval"], weights: Bool[np.ndarray, "point seed"]
) -> Float[np.ndarray, "point eval"]:
    """Average over the seeds with a weight; +inf where one of them is infinite or none exists."""
    kept = np.where(weights[:, :, None], losses, 0.0)
    count = weights.sum(axis=1)[:, None]
    return np.where(count > 0, kept.sum(axis=1) / np.maximum(count, 1), np.inf)


def _sort_key(hyperparameters: Hyperparameters) -> tuple[tuple[str, int, float, str], ...]:
    """Sort numbers as numbers, and before everything else."""
    return tuple(
        (name, 0, float(value), "")
        if isinstance(value, int | float) and not isinstance(value, bool)
        else (name, 1, 0.0, str(value))
        for name, value in sorted(hyperparameters.items())
    )
