"""`Precision`: the number formats that a task is computed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.specrules import (
    check_fields,
    check_keys,
    one_of,
    only,
    without_defaults,
)

_RULES = {
    "params": only("float32"),
    "compute": one_of("float32", "bfloat16"),
    "matmul": only("highest"),
}


@dataclass(frozen=True)
class Precision:
    """Number formats. ``params`` and ``matmul`` have one legal value; the place is kept for more.

    Args:
      params: Format of parameters, gradients, losses and statistics, and of the optimizer's state.
      compute: Format of activations and of the operands of products: "float32", or "bfloat16" as
        `velodrome.taskgen.mixed_precision` says.
      matmul: Precision of products of float32; "highest" forbids TF32 and bfloat16 passes.
    """

    params: str = "float32"
    compute: str = "float32"
    matmul: str = "highest"

    def __post_init__(self):
        check_fields("precision.", vars(self), _RULES)

    def to_json(self) -> dict[str, Any]:
        return without_defaults(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | str) -> Precision:
        """Read what `to_json` wrote, or the format of activations alone."""
        if isinstance(values, str):
            check_fields("", {"precision": values}, {"precision": _RULES["compute"]})
            values = {"compute": values}
        check_keys("precision", values, cls)
        check_fields("precision.", values, _RULES)
        return cls(**values)
