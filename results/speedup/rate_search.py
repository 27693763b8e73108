"""The search for the best learning rate of an optimizer on a task, which starts from its grid.

It is a function of the losses that are known, so it goes on wherever it was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from velodrome.results.store.plan import Hyperparameters

ROUNDS = 6
"""The most rounds in which a search adds rates."""
CLOSE = 1.05
"""Between rates whose quotient is no larger than this there is nothing to be found."""

RATE = "learning_rate"


@dataclass(frozen=True)
class Search:
    """The points that a search has added to the grid, in order, and what became of it.

    ``state`` is that of `PlannedCell.search`.
    """

    added: tuple[Hyperparameters, ...] = ()
    state: str = ""


def sweeps_rate(grid: Sequence[Hyperparameters]) -> bool:
    """Return whether a grid has two learning rates or more."""
    rates = {point.get(RATE) for point in grid}
    return len(rates) > 1 and all(type(rate) in (int, float) for rate in rates)


def search(
    grid: Sequence[Hyperparameters],
    loss_of: Callable[[Hyperparameters], float | None],
    *,
    gain: float,
    learns: Callable[[Hyperparameters], bool],
) -> Search:
    """Look for the best learning rate, all else as at the best point.

    A round adds the rates halfway, on a logarithmic scale, from the best one to its neighbours, or
    at an edge of the grid one rate beyond it. The last one is that between whose best rate and the
    one before less than ``gain`` of the loss lies.

    Args:
      grid: Two learning rates or more, see `sweeps_rate`.
      loss_of: The loss of a point, +inf if it diverged; None if it is not known yet.
      learns: Whether a point makes progress; where the best one does not, there is nothing to find.
    """
    points, lowest, halved = list(grid), math.inf, False
    for number in range(ROUNDS + 1):
        losses = [loss_of(point) for point in points]
        known = [loss for loss in losses if loss is not None]
        added = tuple(points[len(grid) :])
        if len(known) < len(points):
            return Search(added, "going on")
        before, lowest = lowest, min(known)
        # Of equals the lowest rate, as in reports.
        best = min((p for p, loss in zip(points, known, strict=True) if loss == lowest), key=_rate)
        if math.isinf(lowest) or not learns(best):
            return Search(added)
        if halved and before - lowest < gain * abs(before):
            return Search(added, "found")
        new, halved = _around(points, best)
        if not new or number == ROUNDS:
            return Search(added, "edge" if not halved else "limit" if new else "found")
        points += new
    raise AssertionError("the last round returns")


def _around(
    points: Sequence[Hyperparameters], best: Hyperparameters
) -> tuple[list[Hyperparameters], bool]:
    """Return the points of the next round, and whether the best one lies between two others."""
    rest = {name: value for name, value in best.items() if name != RATE}
    known = {_rate(point) for point in points if {**point, RATE: 0} == {**rest, RATE: 0}}
    rates, rate = sorted(one for one in known if one > 0), _rate(best)
    at = rates.index(rate) if rate in rates else 0
    inside = 0 < at < len(rates) - 1
    wanted: list[float] = []
    if inside:
        pairs = ((rates[at - 1], rate), (rate, rates[at + 1]))
        wanted = [math.sqrt(low * high) for low, high in pairs if high > CLOSE * low]
    elif len(rates) > 1:
        wanted = [rate * rate / rates[1 if at == 0 else at - 1]]
    # Three digits: a name for tables, and the same number on every machine.
    rounded = [float(f"{one:.3g}") for one in wanted]
    return [{**best, RATE: one} for one in rounded if one not in known], inside


def _rate(point: Hyperparameters) -> float:
    rate = point[RATE]
    assert isinstance(rate, int | float)  # see `sweeps_rate`
    return float(rate)


def note_of(state: str, label: str) -> str:
    """Say what is not as it should be; empty if a search has found its rate, or there was none."""
    if state == "edge":
        return f"the best rate of {label} is still at an edge where refining ended"
    if state == "limit":
        return f"the best rate of {label} was still getting better where refining ended"
    return ""
