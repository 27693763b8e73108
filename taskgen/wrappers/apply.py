"""Wrap a task in its augmentations."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence

from velodrome.taskgen.augmentation import KINDS, Augmentation
from velodrome.taskgen.task import Task
from velodrome.taskgen.wrappers.wrapping import as_augmented, with_values


def augment(task: Task, augmentations: Sequence[Augmentation]) -> Task:
    """Return the task inside its wrappers, the first one innermost."""
    if not augmentations:
        return task
    wrapped = as_augmented(task)
    for augmentation in augmentations:
        wrap = pkgutil.resolve_name(KINDS[augmentation.name].wrapper)
        wrapped = with_values(wrapped, augmentation, wrap)
    return wrapped
