"""What is known of a task without building it: for ``velodrome show`` and spec files."""

from __future__ import annotations

from typing import Any

from foundation.errors import SpecError
from taskgen.budget import Budget, load_profile, predict_seconds, steps_allowed
from taskgen.data import datasets
from taskgen.spec import TaskSpec


def dataset_info(spec: TaskSpec) -> Any:
    """Returns the ``DatasetInfo`` of the data set of ``spec``.

    Raises:
      UnknownNameError: There is no such data set.
      SpecError: It is not of the kind that the family trains on.
    """
    info = datasets.get(spec.data.name).info
    kind = spec.family_object.data_kind
    if info.kind != kind:
        raise SpecError(
            "data.name", spec.data.name, f"a data set of kind {kind!r} for family {spec.family!r}"
        )
    return info


def describe(
    spec: TaskSpec,
    *,
    device: str = "v100",
    hours: int | float = 1.0,
    max_mflop: int | float | None = None,
) -> dict[str, Any]:
    """Returns facts about a task, as JSON.

    Args:
      spec: The spec.
      device: Name of a device profile.
      hours: Time for the steps.
      max_mflop: Cap on the FLOPs of a training step, in units of 10^6.

    Returns:
      "label", "hash", "spec" (JSON), "cost" (integers, of a training step), "device" (with
      "measured"), "predicted_seconds" of a step, "steps_allowed" in ``hours``, and
      "over_budget", a list of sentences, empty if the task fits.

    Raises:
      UnknownNameError: There is no such data set or device profile.
      SpecError: The data set is not of the kind that the family trains on.
    """
    cost = spec.family_object.cost(spec, dataset_info(spec))
    profile = load_profile(device)
    return {
        "label": spec.label,
        "hash": spec.hash,
        "spec": spec.to_json(),
        "cost": cost.to_json(),
        "device": {"name": profile.name, "measured": profile.measured},
        "hours": hours,
        "predicted_seconds": predict_seconds(cost, profile),
        "steps_allowed": steps_allowed(cost, profile, hours=hours),
        "over_budget": Budget(profile, hours=hours, max_mflop=max_mflop).excess(cost),
    }
