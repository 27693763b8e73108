"""Task augmentations: wrappers that make another task of any task, and compose.

`taskgen.augmentations.kinds` has the kinds and their fields. Importing this needs no jax.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.errors import SpecError
from taskgen.augmentations.kinds import KINDS, PUBLISHED
from taskgen.draws import Draws
from taskgen.space import check_config, config_to_json, dynamic_values, sample_config

if TYPE_CHECKING:
    from taskgen.cost import Cost
    from taskgen.spec import TaskSpec
    from taskgen.task import Task


_OWN_BATCHES = frozenset({"learned_optimizer", "learned_optimizer_pes"})
"""Families whose batches are no examples: they are not reduced."""


@dataclass(frozen=True)
class Augmentation:
    """One wrapper around a task, as a spec names it.

    Args:
      name: One of `KINDS`.
      config: Its fields; a mapping is checked and completed with defaults.

    Raises:
      SpecError: There is no such augmentation, or a field of it is not allowed.
    """

    name: str
    config: Any = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in KINDS:
            close = difflib.get_close_matches(str(self.name), KINDS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError("augmentations", self.name, f"one of {', '.join(KINDS)}{hint}")
        try:
            checked = check_config(KINDS[self.name].config, self.config)
        except SpecError as error:
            field = error.field.replace("config", f"augmentations.{self.name}", 1)
            raise SpecError(field, error.value, error.allowed) from error
        object.__setattr__(self, "config", checked)

    @property
    def dynamic(self) -> dict[str, int | float]:
        """The dynamic values under the names that a task knows them by: ``name.field``."""
        values = dynamic_values(self.config)
        return {f"{self.name}.{field}": value for field, value in values.items()}

    def to_json(self) -> Any:
        """Returns the name and what is not at its default."""
        return {"name": self.name, **config_to_json(self.config)}

    def static_json(self) -> Any:
        """Returns `to_json` without the dynamic fields."""
        dynamic = dynamic_values(self.config)
        return {key: value for key, value in self.to_json().items() if key not in dynamic}

    @classmethod
    def from_json(cls, values: Any) -> Augmentation:
        """Reads what `to_json` wrote; a name alone is one with every field at its default."""
        if isinstance(values, Augmentation):
            return values
        if isinstance(values, str):
            return cls(values)
        if not isinstance(values, Mapping) or "name" not in values:
            raise SpecError("augmentations", values, "a list of mappings with the key 'name'")
        return cls(values["name"], {key: values[key] for key in values if key != "name"})


def read_augmentations(values: Any) -> tuple[Augmentation, ...]:
    """Returns checked augmentations.

    Raises:
      SpecError: It is no list of augmentations, or one kind is there twice.
    """
    if not isinstance(values, list | tuple):
        raise SpecError("augmentations", values, "a list of augmentations")
    made = tuple(Augmentation.from_json(entry) for entry in values)
    names = [augmentation.name for augmentation in made]
    for name in names:
        if names.count(name) > 1:
            raise SpecError("augmentations", name, "there once only")
    return made


def sample_augmentations(
    draws: Draws, family: str, probabilities: Mapping[str, float] | None = None
) -> tuple[Augmentation, ...]:
    """Draws each augmentation independently of the others, in the published order.

    Args:
      draws: Where from.
      family: Family of the task: batches of learned-optimizer tasks are not reduced.
      probabilities: Of each kind; those that are not named have 0. None: `PUBLISHED`.
    """
    chosen = []
    for name, kind in KINDS.items():
        probability = (PUBLISHED if probabilities is None else probabilities).get(name, 0.0)
        if name == "reduced_batch" and family in _OWN_BATCHES:
            continue
        here = draws.child(name)
        if here.unit("whether") < probability:
            chosen.append(Augmentation(name, sample_config(kind.config, here.child("config"))))
    return tuple(chosen)


def augment(task: Task, augmentations: Sequence[Augmentation]) -> Task:
    """Returns the task inside its wrappers, the first one innermost."""
    if not augmentations:
        return task
    from taskgen.augmentations.wrapping import as_augmented, with_values

    wrapped = as_augmented(task)
    for augmentation in augmentations:
        module, function = KINDS[augmentation.name].wrapper.split(":")
        wrap = getattr(importlib.import_module(module), function)
        wrapped = with_values(wrapped, augmentation, wrap)
    return wrapped


def costed(spec: TaskSpec) -> tuple[TaskSpec, Callable[[Cost], Cost]]:
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
