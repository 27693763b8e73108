"""The kinds of task augmentations: the fields of each, its wrapper, and how often it is drawn.

Each is declared like a family's config: static fields fix the compiled program, dynamic ones may
differ between the tasks of one program. The seven of Metz et al. 2022 (arXiv 2211.09760) have the
probabilities and distributions published with it; `gradient_noise` and `loss_scale` are ours.
Importing this needs no jax.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskgen.space import (
    boolean,
    choice,
    dynamic,
    log_float,
    log_int,
    static,
    uniform_float,
    uniform_int,
)


@dataclass(frozen=True)
class ReparamWeights:
    """Parameters are stored divided by scales, and multiplied again before use.

    Attributes:
      level: One scale for all ("global"), for each tensor, for each number ("parameter"), or none.
      range: Scales are log-uniform from the inverse of this to this.
      seed: Of the scales, which are constant while a task is trained.
    """

    level: str = dynamic(
        choice(("none", "global", "tensor", "parameter"), weights=(2, 2, 2, 1)), default="tensor"
    )
    range: float = dynamic(choice((10.0, 100.0, 1000.0)), allowed=(1.0, 1e6), default=10.0)
    seed: int = dynamic(uniform_int(0, 2**31 - 1), default=0)


@dataclass(frozen=True)
class EvolutionGradient:
    """The gradient is an antithetic evolution-strategies estimate; the loss is the plain one.

    Attributes:
      pairs: Antithetic pairs of an estimate.
      std: Standard deviation of the perturbations of the parameters.
    """

    pairs: int = static(choice((1, 2, 4, 8, 16)), allowed=(1, 1024), default=1)
    std: float = dynamic(log_float(1e-3, 1e-1), allowed=(1e-6, 10.0), default=0.01)


@dataclass(frozen=True)
class ReducedBatch:
    """Only the first examples of each training batch are used.

    Attributes:
      fraction: Part of the batch, rounded down to examples, and at least one.
    """

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
      directions: How many unit vectors of the whole parameter space.
      sign: Whether only the sign of each projection is kept.
    """

    directions: int = dynamic(log_int(1, 1025), allowed=(1, 1 << 20), default=16)
    sign: bool = static(boolean(0.5), default=False)


@dataclass(frozen=True)
class DelayedGradient:
    """Loss and gradient are those of the parameters some steps ago.

    Attributes:
      steps: How long ago; before that many steps, the initial parameters.
    """

    steps: int = static(log_int(1, 8), allowed=(1, 1024), default=1)


@dataclass(frozen=True)
class GradientNoise:
    """Normal noise is added to the gradient.

    Attributes:
      level: Its standard deviation, relative to the root mean square of the whole gradient.
    """

    level: float = dynamic(log_float(0.01, 1.0), allowed=(0.0, 1e6), default=0.1)


@dataclass(frozen=True)
class LossScale:
    """The training loss, and with it the gradient, is multiplied by a constant.

    Attributes:
      scale: The constant.
    """

    scale: float = dynamic(log_float(0.01, 100.0), allowed=(1e-6, 1e6), default=1.0)


@dataclass(frozen=True)
class Kind:
    """A kind of augmentation: its config, its wrapper, and how often it is sampled.

    Attributes:
      config: A class of static and dynamic fields.
      wrapper: ``module:function`` of ``(task, config, values)``; imported when it is used.
      probability: With which a task of the published distribution has it.
    """

    config: type
    wrapper: str
    probability: float


_HERE = "taskgen.augmentations"

#: In the published order: the first ones are innermost.
KINDS: dict[str, Kind] = {
    # 5/7, of which "none" is now one of the levels: any program serves all levels.
    "reparam_weights": Kind(ReparamWeights, f"{_HERE}.units:reparam_weights", 1.0),
    "loss_scale": Kind(LossScale, f"{_HERE}.units:loss_scale", 0.0),
    "es": Kind(EvolutionGradient, f"{_HERE}.gradients:evolution", 0.08),
    "reduced_batch": Kind(ReducedBatch, f"{_HERE}.units:reduced_batch", 0.2),
    "bfloat16": Kind(Bfloat16, f"{_HERE}.gradients:bfloat16", 0.2),
    "normalize_gradient": Kind(NormalizeGradient, f"{_HERE}.gradients:normalize", 0.05),
    "subsample_directions": Kind(SubsampleDirections, f"{_HERE}.gradients:subsample", 0.08),
    "gradient_noise": Kind(GradientNoise, f"{_HERE}.gradients:noise", 0.0),
    "delayed_gradient": Kind(DelayedGradient, f"{_HERE}.delay:delayed", 0.05),
}

PUBLISHED = {name: kind.probability for name, kind in KINDS.items() if kind.probability > 0}
"""Probabilities of the published distribution of tasks."""
