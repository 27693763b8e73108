"""A baseline's sweep in stages: where they end, which rates go on, how far the sweep is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.curves import FOREVER, Sweep, seed_mean
from velodrome.results.store.store import Store

MULTIPLES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
"""Where stages end, in units of the candidates' horizon; each costs one more look at the store.

Beyond, each is twice the one before the last: 14, 20, 28, 40, ...
"""
_LAST_PART = 10


def stage_ends(horizon: int, budget: int, *, every: int) -> tuple[int, ...]:
    """Return the steps at which stages end, ascending; the last is the budget.

    They are multiples of ``every``, the steps between held-out evaluations, so that a run that
    stops there has been evaluated at the same steps as a longer one.
    """
    multiples = [*MULTIPLES]
    while multiples[-1] * horizon < budget:
        multiples.append(2 * multiples[-2])
    ends = {-(-int(multiple * horizon) // every) * every for multiple in multiples}
    return (*sorted(end for end in ends if end < budget), budget)


def going_on(
    rates: Float[np.ndarray, "point eval"], racing: Bool[np.ndarray, " point"], *, keep: int
) -> Bool[np.ndarray, " point"]:
    """Return which rates go on after a stage, among those that are still ``racing``.

    ``rates`` are smoothed seed-mean losses up to the end of the stage. A rate stands where its
    lowest loss in the last tenth of the stage is. The best ``keep`` go on, with those that tie, and
    those that would be among them after the next stage if they fell as they have since halfway: on
    a logarithmic scale a stage is about half as long as that, or shorter.
    """
    if racing.sum() <= keep:
        return racing
    evaluations = rates.shape[1]
    part, half = max(1, evaluations // _LAST_PART), max(1, evaluations // 2)
    standing = np.where(racing, rates[:, -part:].min(axis=1), np.inf)
    before = rates[:, max(0, half - part) : half].min(axis=1)
    with np.errstate(invalid="ignore"):  # inf - inf: diverged
        expected = standing - 0.5 * np.maximum(before - standing, 0)
    last = np.sort(standing)[keep - 1]
    return racing & ((standing <= last) | (expected <= last))


@dataclass(frozen=True)
class Staging:
    """How the baseline of a store is run.

    Attributes:
      baseline: Its name.
      every: Steps between held-out evaluations.
    """

    baseline: str
    mode: BaselineMode
    every: int

    @classmethod
    def of(cls, store: Store) -> Staging:
        protocol = store.manifest.get("protocol", {})
        every = protocol.get("heldout_every", protocol.get("eval_every", 1))
        return cls(store.baseline, store.baseline_mode, every)


@dataclass(frozen=True)
class Standing:
    """How far a baseline's sweep is known, and which rates are still in it.

    Attributes:
      end: The last step up to which all rates are known that have to be.
      going: Rates that go on from there.
    """

    end: int
    going: Bool[np.ndarray, " point"]


def standing(sweep: Sweep, staging: Staging, *, horizon: int, budget: int) -> Standing:
    """Return where a sweep stands.

    Without a race all rates go on together. In a race it follows from the curves
    which rates were dropped after which stage; a stage of which some runs are missing counts for
    nothing.
    """
    known = np.where(sweep.present, sweep.ends, FOREVER).min(axis=1)
    end, going = int(known.min()), np.ones(len(known), dtype=bool)
    keep = staging.mode.rates
    if not keep or end < horizon:
        return Standing(end, going)
    smooth = DEFINITIONS["default"].smooth_baseline(
        sweep.losses, candidate_evaluations=sweep.evaluations(horizon)
    )
    means = seed_mean(smooth, sweep.present)
    for stage in stage_ends(horizon, budget, every=staging.every):
        if known[going].min() < stage:
            break
        end = max(end, stage)
        going = going_on(means[:, sweep.steps <= stage], going, keep=keep)
    return Standing(end, going)
