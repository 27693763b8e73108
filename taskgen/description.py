"""Facts about a task, without building it."""

from __future__ import annotations

import dataclasses
from typing import Any

from velodrome.taskgen.budget import (
    Budget,
    devices_needed,
    load_profile,
    predict_seconds,
    steps_allowed,
)
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.spec import TaskSpec


def cost(spec: TaskSpec) -> Cost:
    """Return the cost of a training step, in closed form and without jax if the family has one.

    The few operations for each parameter that most augmentations add are left out, as the
    optimizer's are; the perturbed losses of "es" and the smaller batch of "reduced_batch" are not.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 32)
      >>> velodrome.cost(spec).flops
      85568
    """
    configs = {entry.name: entry.config for entry in spec.augmentations}
    batch = spec.batch_size
    if "reduced_batch" in configs:
        batch = max(1, int(batch * configs["reduced_batch"].fraction))
    plain = _family_cost(spec, batch)
    if "es" not in configs:
        return plain
    # Forward passes only: one, and two for each pair.
    passes = 1 + 2 * configs["es"].pairs
    flops = passes * plain.eval_flops_per_example * batch
    return dataclasses.replace(plain, flops=flops, bytes=plain.bytes // 3 * passes)


def _family_cost(spec: TaskSpec, batch_size: int) -> Cost:
    if spec.grad_accumulation == 1:
        return _cost_together(spec, batch_size)
    part = min(spec.part_size, batch_size)
    numbers = part * spec.view.numbers
    return _cost_together(spec, part).accumulated(max(1, batch_size // part), numbers)


def _cost_together(spec: TaskSpec, batch_size: int) -> Cost:
    family, view, compute = spec.family_object, spec.view, spec.precision.compute
    if family.cost is not None:
        found = family.cost(spec.config, view, batch_size)
        return found.in_bfloat16() if compute == "bfloat16" else found
    from velodrome.taskgen.network import traced_family_cost  # noqa: PLC0415 - imports jax

    matmul = spec.precision.matmul
    return traced_family_cost(family, spec.config, view, batch_size, matmul, compute)


def describe(
    spec: TaskSpec,
    *,
    device: str = "v100",
    hours: int | float = 1.0,
    max_mflop: int | float | None = None,
) -> dict[str, Any]:
    """Return facts about a task, as JSON.

    Args:
      hours: Time for the steps.
      max_mflop: Cap on the FLOPs of a training step, in units of 10^6.

    Returns:
      "label", "hash", "spec" (JSON), "cost" (integers, of a training step), "device" (with
      "measured"), "devices" that can train it together (None: no number that divides the batch,
      or each of its parts, has the memory), "predicted_seconds" of a step, "steps_allowed" in
      ``hours``, and "over_budget", a list of sentences, empty if the task fits.

    Raises:
      UnknownNameError: There is no such data set or device profile.
      SpecError: The data set is not of the kind that the family trains on, or a number is not
        positive and finite.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 32)
      >>> facts = velodrome.describe(spec)
      >>> facts["over_budget"]
      []
    """
    step = _family_cost(spec, spec.batch_size)
    profile = load_profile(device)
    budget = Budget(profile, hours=hours, max_mflop=max_mflop)  # refuses impossible hours
    return {
        "label": spec.label,
        "hash": spec.hash,
        "spec": spec.to_json(),
        "cost": step.to_json(),
        "device": {"name": profile.name, "measured": profile.measured},
        "devices": devices_needed(step.memory_bytes, spec.part_size, profile),
        "hours": hours,
        "predicted_seconds": predict_seconds(step, profile),
        "steps_allowed": steps_allowed(step, profile, hours=hours),
        "over_budget": budget.excess(step, examples=spec.part_size),
    }
