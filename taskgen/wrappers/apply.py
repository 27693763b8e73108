"""Wrap a task in its augmentations."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from velodrome.taskgen.augmentation import KINDS, Augmentation
from velodrome.taskgen.task import Task
from velodrome.taskgen.wrappers.wrapping import as_augmented, with_values


def augment(task: Task, augmentations: Sequence[Augmentation]) -> Task:
    """Returns the task inside its wrappers, the first one innermost."""
    if not augmentations:
        return task
    wrapped = as_augmented(task)
    for augmentation in augmentations:
        module, function = KINDS[augmentation.name].wrapper.split(":")
        wrap = getattr(importlib.import_module(module), function)
        wrapped = with_values(wrapped, augmentation, wrap)
    return wrapped
