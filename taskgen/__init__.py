"""What is trained: task families, specs, the sampler, and the cost of a step.

Importing this, sampling and costs need no jax; :func:`build` imports it.
"""

from __future__ import annotations

import functools

from taskgen.cost import Cost
from taskgen.data import datasets
from taskgen.description import dataset_info, describe
from taskgen.families import Family, families
from taskgen.sampler import sample
from taskgen.spec import DataSpec, Precision, TaskSpec
from taskgen.specfile import load_specs, save_specs
from taskgen.task import Task

__all__ = [
    "Cost",
    "DataSpec",
    "Family",
    "Precision",
    "Task",
    "TaskSpec",
    "build",
    "cost",
    "datasets",
    "describe",
    "families",
    "load_specs",
    "sample",
    "save_specs",
]


@functools.lru_cache(maxsize=64)
def build(spec: TaskSpec) -> Task:
    """Builds the task of a spec; the same spec gives the same object, so programs are reused.

    Args:
      spec: The spec.

    Returns:
      The task. No data are loaded.

    Raises:
      UnknownNameError: There is no such data set.
      SpecError: The data set is not of the kind that the family trains on.
    """
    return spec.family_object.build(spec, dataset_info(spec))


def cost(spec: TaskSpec) -> Cost:
    """Returns the cost of a training step of ``spec``, in closed form and without jax."""
    return spec.family_object.cost(spec, dataset_info(spec))
