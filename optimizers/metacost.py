"""What meta-training a learned optimizer cost: shown beside its results, never part of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MetaTrainingCost:
    """A cost, in the unit in which it is known.

    Args:
      amount: Positive.
      unit: What is counted, such as ``"CPU hours"``.
      source: Who says so.
      detail: What else to know, such as ``"650 outer steps"``.

    Raises:
      ValueError: The amount is not a positive number.
    """

    amount: float
    unit: str
    source: str
    detail: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.amount < math.inf:
            raise ValueError(f"a cost of {self.amount} {self.unit}: expected a positive number")


def cost_on_card(card: Mapping[str, object]) -> MetaTrainingCost | None:
    """Return the cost that a card of weights records in the way of `metatrain`; else None.

    Processor hours where one process did everything on a CPU: they do not depend on what else ran
    there. Hours by the clock on an accelerator, or with workers, whose processor time nobody sums.

    Args:
      card: See `velodrome.save_weights`. Anybody can write one, so any field may be missing or be
        something else.
    """
    training = card.get("training")
    compute = training.get("compute") if isinstance(training, Mapping) else None
    if not isinstance(compute, Mapping):
        return None
    device, workers = compute.get("device"), compute.get("workers", 0)
    amount, unit = compute.get("hours"), f"hours on {device}"
    if workers:
        unit = f"hours with {workers} workers"
    elif device == "cpu":
        amount, unit = compute.get("cpu_hours"), "CPU hours"
    if not isinstance(amount, int | float) or not 0 < amount < math.inf:
        return None
    steps = compute.get("outer_steps")
    detail = f"{steps:,} outer steps" if isinstance(steps, int) else ""
    return MetaTrainingCost(float(amount), unit, "the card of its weights", detail)
