"""Three named definitions of a speedup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from velodrome.foundation.errors import UnknownNameError
from velodrome.results.speedup.envelope import EnvelopeKind, Steps
from velodrome.results.speedup.smoothing import decay_of, ema

PAPER_MIN_STEPS = 5_000
SMOOTHED_FROM = 100
TIME_CONSTANT = 0.02
DefinitionName = Literal["default", "paper", "strict"]


@dataclass(frozen=True)
class Definition:
    """How curves are smoothed, which baseline to beat, and how seeds are combined.

    Attributes:
      summary: One sentence for tables and figures.
      seeds: ``"median"``: each candidate seed has a speedup, the task has their median;
        ``"mean-curve"``: the task has the speedup of the candidate's seed-mean curve.
      points: If not 0, and there are more evaluations, the envelope is taken at this many evenly
        spaced steps, by linear interpolation.
    """

    name: DefinitionName
    summary: str
    envelope: EnvelopeKind
    seeds: Literal["median", "mean-curve"]
    points: int = 0

    @property
    def debias(self) -> bool:
        """Whether the first value of a moving average weighs no more than any other."""
        return self.name != "paper"

    def grid(self, steps: Steps, *, budget: int, evaluations: int) -> Steps:
        """Return the steps at which the envelope is taken, from those of the evaluations.

        ``budget`` and ``evaluations`` are those of a sweep that does not stop before.
        """
        if not 0 < self.points < evaluations:
            return steps
        spaced = np.linspace(float(steps[0]), float(budget), self.points)
        return spaced[spaced <= steps[-1]]

    def decides(self, horizon: int) -> bool:
        """Return whether a sweep has to go on until this definition has its answer.

        Not for ``paper`` where it means little, see :func:`caveat`: it would double some sweeps.
        """
        return not self.needs_budget and (self.name != "paper" or horizon >= PAPER_MIN_STEPS)

    @property
    def needs_budget(self) -> bool:
        """Whether a sweep that stops before its budget says nothing by this definition."""
        return self.envelope == "single"

    def decay(self, candidate_evaluations: int) -> float:
        """Return the decay per evaluation of the baseline's moving average.

        It depends on the number of a candidate's evaluations, including the one at step 0.
        """
        if self.name == "paper":
            return 0.95
        if candidate_evaluations < SMOOTHED_FROM:
            return 0.0
        return decay_of(TIME_CONSTANT * candidate_evaluations)

    def smooth_baseline(
        self, losses: Float[np.ndarray, "*lanes eval"], *, candidate_evaluations: int
    ) -> Float[np.ndarray, "*lanes eval"]:
        return ema(losses, alpha=self.decay(candidate_evaluations), debias=self.debias)

    def smooth_candidate(
        self, losses: Float[np.ndarray, "*lanes eval"]
    ) -> Float[np.ndarray, "*lanes eval"]:
        """Smooth curves of a candidate like the baseline's; ``paper`` does not smooth them."""
        if self.name == "paper":
            return losses.astype(np.float64)
        return ema(losses, alpha=self.decay(losses.shape[-1]), debias=True)


DEFINITIONS: dict[str, Definition] = {
    d.name: d
    for d in (
        Definition(
            name="default",
            summary=(
                "envelope over learning rates of seed-mean losses; debiased moving average on "
                "both sides over 2% of the candidate's evaluations (none under 100 evaluations); "
                "median over candidate seeds"
            ),
            envelope="oracle",
            seeds="median",
        ),
        Definition(
            name="paper",
            summary=(
                "as in Metz et al. 2022: envelope over learning rates of seed-mean losses after "
                "a moving average (0.95, not debiased), taken at 512 steps; last loss of the "
                "candidate's seed-mean curve, not smoothed"
            ),
            envelope="oracle",
            seeds="mean-curve",
            points=512,
        ),
        Definition(
            name="strict",
            summary=(
                "as default, against the one learning rate with the lowest loss at the end of "
                "the baseline's budget"
            ),
            envelope="single",
            seeds="median",
        ),
    )
}


def definition_of(name: str) -> Definition:
    """Return the definition of that name; an UnknownNameError lists close matches."""
    if name not in DEFINITIONS:
        raise UnknownNameError("speedup definition", name, DEFINITIONS)
    return DEFINITIONS[name]


def caveat(name: str, *, steps: int, eval_every: int) -> str:
    """Return what to know before trusting a definition at a horizon; empty if nothing."""
    if name != "paper" or steps >= PAPER_MIN_STEPS:
        return ""
    weight = 0.95 ** (steps / eval_every)
    return (
        f"`paper` is meant for horizons of {PAPER_MIN_STEPS:,} steps and more: at {steps:,} the "
        f"initial loss has {weight:.0%} of the weight in the baseline's moving average and the "
        "average lags by 19 evaluations, both in the candidate's favour"
    )
