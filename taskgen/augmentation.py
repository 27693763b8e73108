"""Task augmentations: the fields of each kind, its wrapper, and how often it is drawn.

Each kind is declared like a family's config: static fields fix the compiled program, dynamic ones
may differ between the tasks of one program. The seven of Metz et al. 2022 (arXiv 2211.09760) have
the probabilities and distributions published with it; `gradient_noise` and `loss_scale` are ours.
Importing this needs no jax.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.space.config import (
    check_config,
    config_to_json,
    dynamic_values,
    sample_config,
)
from velodrome.taskgen.space.distributions import (
    Value,
    boolean,
    choice,
    log_float,
    log_int,
    uniform_float,
    uniform_int,
)
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import dynamic, static


@dataclass(frozen=True)
class ReparamWeights:
    """Parameters are stored divided by scales, and multiplied again before use.

    Attributes:
      level: One scale for all ("global"), for each tensor, for each number ("parameter"), or none.
      range: Scales are log-uniform from the inverse of this number to the number.
      seed: Seed of the scales, which are constant while a task is trained.
    """

    level: str = dynamic(
        choice(("none", "global", "tensor", "parameter"), weights=(2, 2, 2, 1)), default="tensor"
    )
    range: float = dynamic(choice((10.0, 100.0, 1000.0)), allowed=(1.0, 1e6), default=10.0)
    seed: int = dynamic(uniform_int(0, 2**31 - 1), default=0)


@dataclass(frozen=True)
class EvolutionGradient:
    """The gradient is an antithetic evolution-strategies estimate; the loss is the plain one.

    ``std`` is the standard deviation of the perturbations of the parameters.
    """

    pairs: int = static(choice((1, 2, 4, 8, 16)), allowed=(1, 1024), default=1)
    std: float = dynamic(log_float(1e-3, 1e-1), allowed=(1e-6, 10.0), default=0.01)


@dataclass(frozen=True)
class ReducedBatch:
    """Only the first ``fraction`` of each training batch is used, and at least one example."""

    fraction: float = static(uniform_float(0.01, 1.0), allowed=(1e-4, 1.0), default=0.5)


@dataclass(frozen=True)
class Bfloat16:
    """Parameters, images and gradients are rounded to bfloat16 in training.

    They stay float32 arrays, so that every optimizer takes them.
    """


@dataclass(frozen=True)
class NormalizeGradient:
    """The gradient is divided by its global norm; a gradient of zero stays zero."""


@dataclass(frozen=True)
class SubsampleDirections:
    """The gradient is replaced by the sum of its projections on random directions, new each step.

    Attributes:
      directions: Number of unit vectors of the whole parameter space.
      sign: Whether only the sign of each projection is kept.
    """

    directions: int = dynamic(log_int(1, 1025), allowed=(1, 1 << 20), default=16)
    sign: bool = static(boolean(0.5), default=False)


@dataclass(frozen=True)
class DelayedGradient:
    """Loss and gradient are those of the parameters ``steps`` ago, at first the initial ones."""

    steps: int = static(log_int(1, 8), allowed=(1, 1024), default=1)


@dataclass(frozen=True)
class GradientNoise:
    """Normal noise is added to the gradient.

    ``level`` is its standard deviation, relative to the root mean square of the whole gradient.
    """

    level: float = dynamic(log_float(0.01, 1.0), allowed=(0.0, 1e6), default=0.1)


@dataclass(frozen=True)
class LossScale:
    """The training loss, and with it the gradient, is multiplied by a constant."""

    scale: float = dynamic(log_float(0.01, 100.0), allowed=(1e-6, 1e6), default=1.0)


@dataclass(frozen=True)
class Kind:
    """A kind of augmentation: its config, its wrapper, and how often it is sampled.

    Attributes:
      config: A class of static and dynamic fields.
      wrapper: ``module:function`` of ``(task, config, values)``; imported when it is used.
      probability: How often a task of the published distribution has it.
    """

    config: type
    wrapper: str
    probability: float


_HERE = "velodrome.taskgen.wrappers"

#: In the published order: the first ones are innermost.
KINDS: dict[str, Kind] = {
    # 5/7 as published; "none" is a level here instead, so that one program serves all levels.
    "reparam_weights": Kind(ReparamWeights, f"{_HERE}.units:reparam_weights", 1.0),
    "loss_scale": Kind(LossScale, f"{_HERE}.units:loss_scale", 0.0),
    "es": Kind(EvolutionGradient, f"{_HERE}.gradients:evolution", 0.08),
    "reduced_batch": Kind(ReducedBatch, f"{_HERE}.units:reduced_batch", 0.2),
    "bfloat16": Kind(Bfloat16, f"{_HERE}.gradients:bfloat16", 0.2),
    "normalize_gradient": Kind(NormalizeGradient, f"{_HERE}.gradients:normalize", 0.05),
    "subsample_directions": Kind(SubsampleDirections, f"{_HERE}.gradients:subsample", 0.08),
    "gradient_noise": Kind(GradientNoise, f"{_HERE}.gradients:noise", 0.0),
    "delayed_gradient": Kind(DelayedGradient, f"{_HERE}.gradients:delayed", 0.05),
}

PUBLISHED = {name: kind.probability for name, kind in KINDS.items() if kind.probability > 0}
"""Probabilities of the published distribution of tasks."""


# Families whose batches are dealt out to inner problems: they are not reduced.
_OWN_BATCHES = frozenset({"learned_optimizer", "learned_optimizer_pes"})


@dataclass(frozen=True)
class Augmentation:
    """One wrapper around a task, as a spec names it.

    Args:
      name: One of `KINDS`.
      config: Its fields; a mapping is checked and completed with defaults.

    Raises:
      SpecError: There is no such augmentation, or a field is not allowed.
    """

    name: str
    config: Any = dataclasses.field(default_factory=dict)  # of the class that KINDS[name] names

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in KINDS:
            close = difflib.get_close_matches(str(self.name), KINDS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError("augmentations", self.name, f"one of {', '.join(KINDS)}{hint}")
        where = f"augmentations.{self.name}"
        checked = check_config(KINDS[self.name].config, self.config, where=where)
        object.__setattr__(self, "config", checked)

    @property
    def dynamic(self) -> dict[str, int | float]:
        """The dynamic values under the names that a task knows them by: ``name.field``."""
        values = dynamic_values(self.config)
        return {f"{self.name}.{field}": value for field, value in values.items()}

    def to_json(self) -> dict[str, Value]:
        """Return the name and what is not at its default."""
        return {"name": self.name, **config_to_json(self.config)}

    def static_json(self) -> dict[str, Value]:
        """Return `to_json` without the dynamic fields."""
        dynamic = dynamic_values(self.config)
        return {key: value for key, value in self.to_json().items() if key not in dynamic}

    @classmethod
    def from_json(cls, values: object) -> Augmentation:
        """Read what `to_json` wrote; a name alone stands for all defaults."""
        if isinstance(values, Augmentation):
            return values
        if isinstance(values, str):
            return cls(values)
        if not isinstance(values, Mapping) or "name" not in values:
            raise SpecError("augmentations", values, "a list of mappings with the key 'name'")
        return cls(values["name"], {key: values[key] for key in values if key != "name"})


def read_augmentations(values: object) -> tuple[Augmentation, ...]:
    """Return checked augmentations.

    Raises:
      SpecError: ``values`` is no list of augmentations, or one kind is there twice.
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
    rng: NamedRng, family: str, probabilities: Mapping[str, float] = PUBLISHED
) -> tuple[Augmentation, ...]:
    """Draw each augmentation independently of the others, in the published order.

    Args:
      family: Family of the task: batches of learned-optimizer tasks are not reduced.
      probabilities: Probability of each kind; 0 for kinds that are not named.
    """
    chosen = []
    for name, kind in KINDS.items():
        if name == "reduced_batch" and family in _OWN_BATCHES:
            continue
        here = rng.child(name)
        if here.unit("whether") < probabilities.get(name, 0.0):
            chosen.append(Augmentation(name, sample_config(kind.config, here.child("config"))))
    return tuple(chosen)
