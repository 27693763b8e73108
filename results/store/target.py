"""`Target`: a value of a metric that an optimizer is to reach on a task."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.foundation.typed import read_as

#: Which way each metric of the package's families gets better.
DIRECTIONS = {
    **dict.fromkeys(
        ("loss", "token_error_rate", "word_error_rate", "algoperf_word_error_rate"), "lower"
    ),
    **dict.fromkeys(("accuracy", "ssim", "mean_average_precision", "bleu"), "higher"),
}
#: Metrics that are shares: none is above 1.
_SHARES = frozenset(("accuracy", "ssim", "mean_average_precision"))
_SIGNS = {"lower": "<=", "higher": ">="}
_FORM = re.compile(
    r"(?:(?P<split>train|heldout):)?(?:(?P<metric>[A-Za-z_][\w.-]*)(?P<sign><=|>=|=))?(?P<value>.+)"
)


@dataclass(frozen=True)
class Target:
    """A value of a metric to reach. Reports say after how many steps and seconds it was reached.

    Args:
      value: Of the metric, such as 0.5 for a loss.
      metric: A metric that runs record: the loss, or on the held-out split any metric of the
        task's family.
      better: ``"lower"`` or ``"higher"``; it may be left out for the metrics of the package's
        families.
      split: ``"heldout"`` or ``"train"``.

    Raises:
      SpecError: A field is wrong, ``better`` is not the known way of the metric, or none is known.

    Examples:
      >>> target = velodrome.Target(0.9, "accuracy")
      >>> target.better, str(target)
      ('higher', 'held-out accuracy >= 0.9')
    """

    value: float
    metric: str = "loss"
    better: str = ""
    split: str = "heldout"

    def __post_init__(self) -> None:
        number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if not number or not math.isfinite(self.value):
            raise SpecError("target.value", self.value, "a finite number")
        if self.split not in ("heldout", "train"):
            raise SpecError("target.split", self.split, "'heldout' or 'train'")
        if self.split == "train" and self.metric != "loss":
            allowed = "'loss' on the train split, of which no other metric is recorded"
            raise SpecError("target.metric", self.metric, allowed)
        if self.metric in _SHARES and self.value > 1:
            raise SpecError("target.value", self.value, f"1 or less for {self.metric}, as in 0.9")
        known = DIRECTIONS.get(self.metric)
        better = self.better or known or ""
        if better not in _SIGNS:
            allowed = (
                f"'lower' or 'higher', the way in which {self.metric} gets better (as a text: "
                f'"{self.metric}<=VALUE" or "{self.metric}>=VALUE")'
            )
            close = difflib.get_close_matches(self.metric, DIRECTIONS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError("target.better", self.better, allowed + hint)
        if known not in (None, better):  # it would be reached by runs that do not train
            raise SpecError("target.better", better, f"{known!r} for {self.metric}, or left out")
        object.__setattr__(self, "better", better)
        object.__setattr__(self, "value", float(self.value))

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``0.5``, ``accuracy=0.9``, ``train:loss=0.1`` or ``my_metric>=3``.

        Raises:
          SpecError: It is none of these.
        """
        found = _FORM.fullmatch(text.strip())
        try:
            value = float(found["value"]) if found else math.nan
        except ValueError:
            value = math.nan
        if found is None or math.isnan(value):
            allowed = "a value of the held-out loss, or as in accuracy=0.9 or train:loss=0.1"
            raise SpecError("target", text, allowed)
        signs = {sign: better for better, sign in _SIGNS.items()}
        better = signs.get(found["sign"] or "", "")
        return cls(value, found["metric"] or "loss", better, found["split"] or "heldout")

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Target:
        """Read what `to_json` wrote.

        Raises:
          SpecError: A key is unknown or missing, or a value is not allowed.
        """
        return read_as(cls, values, "target")

    def __str__(self) -> str:
        split = "held-out" if self.split == "heldout" else "train"
        return f"{split} {self.metric.replace('_', ' ')} {_SIGNS[self.better]} {self.value:.6g}"
