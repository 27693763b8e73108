"""What is known of a task without building it: for ``velodrome show`` and spec files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.budget import Budget, load_profile, predict_seconds, steps_allowed
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.spec import TaskSpec


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


def cost(spec: TaskSpec) -> Cost:
    """Returns the cost of a training step of ``spec``, in closed form and without jax."""
    plain, change = _costed(spec)
    return change(plain.family_object.cost(plain, dataset_info(plain)))


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
    step = spec.family_object.cost(spec, dataset_info(spec))
    profile = load_profile(device)
    return {
        "label": spec.label,
        "hash": spec.hash,
        "spec": spec.to_json(),
        "cost": step.to_json(),
        "device": {"name": profile.name, "measured": profile.measured},
        "hours": hours,
        "predicted_seconds": predict_seconds(step, profile),
        "steps_allowed": steps_allowed(step, profile, hours=hours),
        "over_budget": Budget(profile, hours=hours, max_mflop=max_mflop).excess(step),
    }


def _costed(spec: TaskSpec) -> tuple[TaskSpec, Callable[[Cost], Cost]]:
    """Returns the plain spec whose cost counts, and what the wrappers make of that cost.

    The few operations for each parameter that most wrappers add are left out, as the optimizer's
    are; the perturbed losses of "es" and the smaller batch of "reduced_batch" are not.
    """
    if not spec.augmentations:
        return spec, lambda cost: cost
    configs = {entry.name: entry.config for entry in spec.augmentations}
    batch = spec.batch_size
    if "reduced_batch" in configs:
        batch = max(1, int(batch * configs["reduced_batch"].fraction))
    plain = dataclasses.replace(spec, augmentations=(), batch_size=batch)

    def change(cost: Cost) -> Cost:
        if "es" not in configs:
            return cost
        # Forward passes only: one, and two for each pair.
        passes = 1 + 2 * configs["es"].pairs
        flops = passes * cost.eval_flops_per_example * batch
        return dataclasses.replace(cost, flops=flops, bytes=cost.bytes // 3 * passes)

    return plain, change
