"""What is trained: task families, specs, the sampler, and the cost of a step.

Importing this, sampling and costs need no jax; :func:`build` imports it.
"""

from __future__ import annotations

import dataclasses
import functools

from taskgen.augment import Augmentation, augment, costed
from taskgen.cost import Cost
from taskgen.data import datasets
from taskgen.description import dataset_info, describe
from taskgen.families import Family, families
from taskgen.sampler import sample
from taskgen.spec import DataSpec, Precision, TaskSpec
from taskgen.specfile import load_specs, save_specs
from taskgen.task import Task

__all__ = [
    "Augmentation",
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
    return _build(spec, spec.family_object)


@functools.lru_cache(maxsize=64)
def _build(spec: TaskSpec, family: Family) -> Task:  # by family: a notebook may define it anew
    plain = dataclasses.replace(spec, augmentations=()) if spec.augmentations else spec
    task = family.build(plain, dataset_info(plain))
    if not spec.augmentations:
        return task
    return dataclasses.replace(augment(task, spec.augmentations), spec=spec, cost=cost(spec))


def cost(spec: TaskSpec) -> Cost:
    """Returns the cost of a training step of ``spec``, in closed form and without jax."""
    plain, change = costed(spec)
    return change(plain.family_object.cost(plain, dataset_info(plain)))
