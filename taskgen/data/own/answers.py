"""What is to be learned of the rows of a table: a class each, or a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.order import permutation
from velodrome.taskgen.data.own.contents import (
    LARGEST_LABEL,
    RULE,
    check_held_out,
    classes_of,
    hold_out,
)
from velodrome.taskgen.data.tables import standardised

MOST = 1e30
"""The squares of larger numbers may be infinite."""

RULE_OF_NUMBERS = "a fifth of the rows is held out, drawn by a fixed rule"


@dataclass(frozen=True)
class Answers:
    """One answer for each row.

    Attributes:
      values: Labels i32[N] from 0; or numbers f64[N], for regression.
      class_names: What the labels stand for; empty for numbers.
      whole: Whether the labels stand for whole numbers.
    """

    values: np.ndarray
    class_names: tuple[str, ...]
    whole: bool = False

    @property
    def numbers(self) -> bool:
        """Whether numbers are predicted."""
        return not self.class_names

    def training(self, held: int, where: str) -> np.ndarray:
        """Return bool[N], which rows are for training: all but the last ``held``, or by the rule.

        Raises:
          DataError: Nothing is held out, or a class that is not trained on.
        """
        count = len(self.values)
        if held:
            train = np.arange(count) < count - held
        elif self.numbers:
            train = np.ones(count, bool)
            train[permutation(count, seed=0, stream=0)[: max(1, round(count / 5))]] = False
        else:
            train = hold_out(self.values)
        if not self.numbers:
            check_held_out(self.values, train, self.class_names, where)
        elif self.values[train].min() == self.values[train].max():
            raise DataError(
                f"all rows of {where} that are for training have the same number to predict, "
                f"{self.values[train][0]}: nothing can be learned from that."
            )
        return train

    def arrays(self, train: np.ndarray) -> Arrays:
        """Return the array of the answers: "label" i32[N], or "target" f32[N,1].

        Numbers get mean 0 and variance 1 over the rows ``train``.
        """
        if self.numbers:
            return {"target": standardised(self.values[:, None], train)}
        return {"label": self.values}

    def notes(self, train: np.ndarray, name: str, *, held: int) -> dict[str, str]:
        """Return what to say of the answers, which lie in the column ``name`` ("": no column)."""
        rule = "the held-out rows come with the data" if held else ""
        if not self.numbers:
            column = {"label column": name} if name else {}
            if self.whole and len(self.class_names) > 2:
                column["labels"] = "whole numbers, taken as classes; --regression predicts them"
            return {**column, "split": rule or RULE}
        seen = self.values[train]
        numbers = f"mean {seen.mean():.5g}, standard deviation {seen.std():.5g}; stored as 0 and 1"
        column = {"predicted column": name} if name else {}
        return {**column, "predicted numbers": numbers, "split": rule or RULE_OF_NUMBERS}


def answers_of(
    values: np.ndarray, place: Callable[[int], str], where: str, *, regression: bool
) -> Answers:
    """Return classes, or numbers if some are not whole or ``regression`` asks for that.

    Args:
      values: [N], one of each row.
      place: Says where the answer of a row stands, for messages.
      where: What holds the answers, for messages.

    Raises:
      DataError: The values are neither, or there is one class only.
    """
    if values.dtype.kind not in "iufb":
        if regression:
            raise DataError(f"{where} are words, not numbers to predict (--regression).")
        words = values.astype(str) if values.dtype == object else values
        return Answers(*classes_of(words, place, where))
    if values.dtype.kind == "f" and np.isfinite(values).all():
        regression |= bool(((values != np.round(values)) | (np.abs(values) > LARGEST_LABEL)).any())
    if not regression:
        return Answers(*classes_of(values, place, where), whole=True)
    numbers = values.astype(np.float64)
    for at in np.flatnonzero(~(np.abs(numbers) <= MOST))[:1]:
        raise DataError(
            f"{place(int(at))} is {numbers[at]}; numbers to predict are finite, and at most "
            f"{MOST:g}."
        )
    return Answers(numbers, ())
