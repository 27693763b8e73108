"""Which column of a foreign table is which: by its documented name, or by what loggers call it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from velodrome.foundation.errors import SpecError, unknown_key

#: What a column can be, with the names that Weights & Biases and training libraries give it.
ROLES: Mapping[str, tuple[str, ...]] = {
    "step": ("_step", "Step", "global_step", "trainer/global_step", "train/global_step"),
    "loss": ("train/loss", "train_loss", "training_loss"),
    "heldout_loss": (
        "heldout/loss", "val/loss", "val_loss", "valid/loss", "valid_loss", "eval/loss",
        "eval_loss", "test/loss", "test_loss",
    ),
    "seed": (),
    "learning_rate": (),
    "point": (),
}  # fmt: skip
NEEDED = ("step", "loss")
#: A chart that was exported from Weights & Biases has a column for each run, and its extremes.
_CHART = re.compile(r".+ - (?P<metric>.+?)(?P<extreme>__MIN|__MAX)?")


def roles_of(
    names: Sequence[str], given: Mapping[str, str] | None = None, *, file: str = "the file"
) -> dict[str, str]:
    """Return the columns of a table by what they are.

    Args:
      names: All columns.
      given: Columns that the user has named, by what they are.

    Raises:
      SpecError: A column that is needed is not there, several could be it, or two things are said
        to be one column.
    """
    found: dict[str, str] = {}
    for role, name in (given or {}).items():
        if role not in ROLES:
            raise unknown_key("columns", role, ROLES, "things a column can be:")
        if name not in names:
            raise unknown_key(f"columns.{role}", name, names, f"columns of {file}:")
        found[role] = name
    for role, aliases in ROLES.items():
        if role in found:
            continue
        fitting = [role] if role in names else _fitting(names, (role, *aliases))
        fitting = [name for name in fitting if name not in found.values()]
        if len(fitting) > 1:
            raise SpecError(
                f"{file}, columns",
                fitting,
                f"one that is the {role}: say which, as in --columns {role}=NAME",
            )
        if fitting:
            found[role] = fitting[0]
        elif role in NEEDED:
            allowed = f"among them a column {role!r}: say which it is, as in --columns {role}=NAME"
            raise SpecError(f"{file}, columns", list(names), allowed)
    if len(set(found.values())) < len(found):
        raise SpecError("columns", found, "a column for each")
    return found


def _fitting(names: Sequence[str], aliases: Sequence[str]) -> list[str]:
    fitting = []
    for name in names:
        chart = _CHART.fullmatch(name)
        metric = name if chart is None else chart["metric"]
        if metric in aliases and not (chart and chart["extreme"]):
            fitting.append(name)
    return fitting
