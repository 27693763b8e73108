"""From a spec to its task, and to the batches of its data."""

from __future__ import annotations

import dataclasses
import functools

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.source import Source, open_view
from velodrome.taskgen.description import cost
from velodrome.taskgen.family import Family
from velodrome.taskgen.network import task_functions
from velodrome.taskgen.space.config import dynamic_values
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task
from velodrome.taskgen.wrappers.wrapping import augment


def build(spec: TaskSpec) -> Task:
    """Build the task of a spec, without loading data.

    Equal specs give one object, so that compiled programs are reused.

    Raises:
      UnknownNameError: There is no such data set.
      SpecError: The data set is not of the kind that the family trains on.

    Examples:
      >>> import jax
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 32)
      >>> task = velodrome.build(spec)
      >>> params, state = task.init(jax.random.key(0))
    """
    return _build(spec, spec.family_object)


@functools.lru_cache(maxsize=64)
def _build(spec: TaskSpec, family: Family) -> Task:  # by family: a notebook may redefine it
    made = task_functions(
        family,
        spec.config,
        spec.view,
        spec.precision.matmul,
        compute=spec.precision.compute,
        part=spec.part_size if spec.grad_accumulation > 1 else None,
    )
    functions = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    plain = dataclasses.replace(spec, augmentations=()) if spec.augmentations else spec
    task = Task(spec=plain, dynamic=dynamic_values(spec.config), cost=cost(plain), **functions)
    if not spec.augmentations:
        return task
    return dataclasses.replace(augment(task, spec.augmentations), spec=spec, cost=cost(spec))


def open_source(spec: TaskSpec, split: str) -> Source:
    """Open a split, "train" or "heldout", of the data set of ``spec``, as its family sees it.

    Opening it again gives the same object, as long as it is among the last few. The arrays lie on
    the default device, unless they are larger than
    `velodrome.taskgen.data.resident.resident_limit`.

    Raises:
      UnknownNameError: There is no such data set.
      DataError: The data are missing, are not the recorded ones, or do not fit the family.
      SpecError: Only images are varied at random.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {}, velodrome.DataSpec("digits"), 32)
      >>> source = velodrome.open_source(spec, "train")
      >>> source.indices(seed=0, start=0, count=2, batch_size=32).shape
      (2, 32)
    """
    dataset, kind = spec.dataset, spec.family_object.data_kind
    if dataset.kind != kind:
        raise DataError(
            f"family {spec.family!r} trains on data of kind {kind!r}, but {dataset.name!r} is of "
            f"kind {dataset.kind!r}; choose another data set (`velodrome list datasets`)."
        )
    return open_view(dataset, spec.view, split, spec.data.variation)
