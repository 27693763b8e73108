"""Sections of a meta-training config about the estimate, the outer optimizer, and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from velodrome.optimizers.metatrain.config.reading import check_scales, complete, require, setting


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
      shaping: How a pair's losses count: ``"sign"`` of the difference (as VeLO),
        ``"raw"`` difference, or ``"log"``: the difference of their logarithms.
      scales: For each group of weights, how much larger its perturbations and steps are; see
        `reading.GROUPS`. Groups that are not named have 1; a group at 0 stays as it is.
    """

    method: str = setting("full", "full", "pes")
    window: int = setting(50, 1, 10**7)
    sigma: float = setting(0.01, 1e-6, 10.0)
    pairs: int = setting(8, 1, 65_536)
    tasks_per_step: int = setting(4, 1, 4096)
    shaping: str = setting("sign", "sign", "raw", "log")
    scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        complete(self, "estimator")
        check_scales("estimator.scales", self.scales)


@dataclass(frozen=True)
class OuterConfig:
    """The outer optimizer: Adam on the estimated gradient.

    Args:
      steps: Outer steps.
      learning_rate: Peak learning rate.
      schedule: ``"constant"``, or ``"cosine"`` from the peak to a hundredth of it at ``steps``.
      warmup: Outer steps of linear warm-up, at most ``steps``.
      clip: Each coordinate of the gradient is clipped to this absolute value; 0: no clipping.
      accumulate: Outer steps whose clipped gradients are averaged for one step of Adam.
      b1: Decay of Adam's first moment.
      b2: Decay of Adam's second moment.
      average: Decay of the running average of the weights that is exported; 0: the last weights.
    """

    steps: int = setting(1000, 1, 10**8)
    learning_rate: float = setting(3e-3, 0.0, 100.0)
    schedule: str = setting("cosine", "constant", "cosine")
    warmup: int = setting(10, 0, 10**8)
    clip: float = setting(0.0, 0.0, 1e6)
    accumulate: int = setting(1, 1, 10_000)
    b1: float = setting(0.9, 0.0, 0.999999)
    b2: float = setting(0.999, 0.0, 0.9999999)
    average: float = setting(0.98, 0.0, 0.999999)

    def __post_init__(self) -> None:
        complete(self, "outer")
        allowed = f"at most outer.steps ({self.steps})"
        require(self.warmup <= self.steps, "outer.warmup", self.warmup, allowed)


@dataclass(frozen=True)
class RecordConfig:
    """What a run writes. Nothing here changes a number of the training.

    Args:
      checkpoint_seconds: A checkpoint is written when the last one is older than this.
      validate_every: Outer steps between validations; 0: none.
      validation_steps: Length of the validation unrolls.
      validation_seeds: Runs (initialisations and batch orders) of each validation task.
      tensorboard: Whether TensorBoard events are written too; needs the extra ``tensorboard``.
    """

    checkpoint_seconds: float = setting(60.0, 0.0, 1e6)
    validate_every: int = setting(50, 0, 10**8)
    validation_steps: int = setting(200, 1, 10**7)
    validation_seeds: int = setting(2, 1, 1000)
    tensorboard: bool = setting(False)

    def __post_init__(self) -> None:
        complete(self, "record")
