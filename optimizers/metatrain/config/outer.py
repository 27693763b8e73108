"""Sections of a meta-training config about the estimate, the outer optimizer, and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from velodrome.optimizers.metatrain.config.checks import (
    check_choice,
    check_integer,
    check_number,
    check_scales,
    require,
)


@dataclass(frozen=True)
class EstimatorConfig:
    """Evolution strategies with antithetic pairs.

    Args:
      method: ``"full"``: over whole unrolls, with the objective of ``unroll``. ``"pes"``:
        persistent evolution strategies over windows of them (Vicol et al. 2021, arXiv
        2112.13835); the meta-loss is the mean training loss of a window.
      window: Inner steps of a window of ``"pes"``.
      sigma: Standard deviation of the perturbations, before ``scales``.
      pairs: Antithetic pairs for each task of an outer step, all in one program.
      tasks_per_step: Tasks (compiled programs) of an outer step; families take turns.
      shaping: What is made of a pair's losses: ``"sign"`` of the difference (as VeLO),
        ``"raw"`` difference, or ``"log"``: the difference of their logarithms.
      scales: For each group of weights, how much larger its perturbations and steps are; see
        `GROUPS`. Groups that are not named have 1; a group at 0 stays as it is.
    """

    method: str = "full"
    window: int = 50
    sigma: float = 0.01
    pairs: int = 8
    tasks_per_step: int = 4
    shaping: str = "sign"
    scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_number(self, "estimator", sigma=(1e-6, 10.0))
        check_integer(
            self, "estimator", pairs=(1, 65_536), tasks_per_step=(1, 4096), window=(1, 10**7)
        )
        check_choice(self, "estimator", shaping=("sign", "raw", "log"), method=("full", "pes"))
        check_scales(self.scales, "estimator.scales")


@dataclass(frozen=True)
class OuterConfig:
    """The outer optimizer: Adam on the estimated gradient.

    Args:
      steps: Outer steps.
      learning_rate: Peak learning rate.
      schedule: ``"constant"``, or ``"cosine"`` from the peak to a hundredth of it at ``steps``.
      warmup: Outer steps of linear warm-up.
      clip: Each coordinate of the gradient is clipped to this absolute value; 0: no clipping.
      accumulate: Outer steps whose clipped gradients are averaged for one step of Adam.
      b1: Decay of Adam's first moment.
      b2: Decay of Adam's second moment.
      average: Decay of the running average of the weights that is exported; 0: the last weights.
    """

    steps: int = 1000
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    warmup: int = 10
    clip: float = 0.0
    accumulate: int = 1
    b1: float = 0.9
    b2: float = 0.999
    average: float = 0.98

    def __post_init__(self) -> None:
        check_integer(
            self, "outer", steps=(1, 10**8), warmup=(0, self.steps), accumulate=(1, 10_000)
        )
        check_number(
            self,
            "outer",
            learning_rate=(0.0, 100.0),
            clip=(0.0, 1e6),
            b1=(0.0, 0.999999),
            b2=(0.0, 0.9999999),
            average=(0.0, 0.999999),
        )
        check_choice(self, "outer", schedule=("constant", "cosine"))


@dataclass(frozen=True)
class RecordConfig:
    """What is written on the way. Nothing here changes a number of the training.

    Args:
      checkpoint_seconds: A checkpoint is written when the last one is older than this.
      validate_every: Outer steps between validations; 0: none.
      validation_steps: Length of the validation unrolls.
      validation_seeds: Runs (initialisations and batch orders) of each validation task.
      tensorboard: Whether TensorBoard events are written too; needs the extra ``tensorboard``.
    """

    checkpoint_seconds: float = 60.0
    validate_every: int = 50
    validation_steps: int = 200
    validation_seeds: int = 2
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check_number(self, "record", checkpoint_seconds=(0.0, 1e6))
        check_integer(
            self,
            "record",
            validate_every=(0, 10**8),
            validation_steps=(1, 10**7),
            validation_seeds=(1, 1000),
        )
        require(
            type(self.tensorboard) is bool,
            "record.tensorboard",
            self.tensorboard,
            "true or false",
        )
