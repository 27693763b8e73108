"""The sections of a meta-training config: their fields, and what each may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optimizers.metatrain.checks import (
    check_choice,
    check_integer,
    check_number,
    check_string,
    check_strings,
    is_number,
    require,
)

#: Sampler seeds below this one are left to evaluation: no meta-training task has one.
FIRST_TRAINING_SEED = 1_000_000

#: Built-in data sets that only evaluation uses, so that there are tasks on new data.
HELD_OUT_DATA = ("photos",)

FAMILIES = ("mlp", "cnn", "rnn", "transformer")
GROUPS = ("initial", "pool", "project", "lstm", "controls", "step_size", "bank")


@dataclass(frozen=True)
class ArchitectureConfig:
    """Size of the learned optimizer and where its weights start.

    Args:
      hidden: Size of the per-tensor LSTM.
      bank: Number of per-parameter networks that are mixed.
      init: ``"structured"`` starts as a normalised-momentum optimizer with a falling step;
        ``"random"`` from small random weights; anything else is a name or path of weights.
    """

    hidden: int = 32
    bank: int = 16
    init: str = "structured"

    def __post_init__(self) -> None:
        check_integer(self, "architecture", hidden=(1, 8192), bank=(1, 8192))
        check_string(self, "architecture", "init")


@dataclass(frozen=True)
class TasksConfig:
    """The tasks that are trained on, and those for validation.

    Args:
      families: Task families; each is drawn equally often.
      data: ``"built-in"`` or ``"published"`` data sets.
      per_family: Static configs of each family, one compiled program each.
      max_mflop: Cap on the millions of FLOPs of a training step.
      seed: Seed of the sampler, 1,000,000 or more: smaller ones are reserved for evaluation.
      validation_per_family: Tasks of each family that are only validated on.
      validation_seed: Sampler seed of those, 1,000,000 or more and another one.
      exclude_data: Data sets that no task may use. It must name those of `HELD_OUT_DATA`.
      use_held_out_data: Lift that: then no evaluation shows what the weights do on new data.
      vary: Dynamic fields of the configs (such as the initialiser) that every problem draws anew;
        the other ones are the spec's. An activation that varies is computed ten times over.
      reparam_probability: Probability that a task's parameters are stored divided by a scale.
      reparam_range: Scales are log-uniform from its inverse to this.
    """

    families: tuple[str, ...] = FAMILIES
    data: str = "built-in"
    per_family: int = 6
    max_mflop: float = 1.0
    seed: int = FIRST_TRAINING_SEED
    validation_per_family: int = 2
    validation_seed: int = FIRST_TRAINING_SEED + 1
    exclude_data: tuple[str, ...] = HELD_OUT_DATA
    use_held_out_data: bool = False
    vary: tuple[str, ...] = ("initializer", "init_scale")
    reparam_probability: float = 0.0
    reparam_range: float = 10.0

    def __post_init__(self) -> None:
        where = "tasks"
        check_strings(self, where, "families", "exclude_data", "vary")
        require(len(self.families) > 0, "tasks.families", self.families, "a list of families")
        check_choice(self, where, data=("built-in", "published"))
        check_integer(
            self,
            where,
            per_family=(1, 10_000),
            seed=(FIRST_TRAINING_SEED, 2**62),
            validation_per_family=(0, 10_000),
            validation_seed=(FIRST_TRAINING_SEED, 2**62),
        )
        check_number(
            self,
            where,
            max_mflop=(1e-3, 1e9),
            reparam_probability=(0.0, 1.0),
            reparam_range=(1.0, 1e6),
        )
        require(
            type(self.use_held_out_data) is bool,
            "tasks.use_held_out_data",
            self.use_held_out_data,
            "true or false",
        )
        missing = [name for name in HELD_OUT_DATA if name not in self.exclude_data]
        require(
            self.use_held_out_data or not missing,
            "tasks.exclude_data",
            self.exclude_data,
            f"a list with {', '.join(missing)}: kept for evaluation on new data (unless "
            "tasks.use_held_out_data is true)",
        )
        require(
            self.validation_seed != self.seed,
            "tasks.validation_seed",
            self.validation_seed,
            f"another seed than tasks.seed ({self.seed})",
        )


@dataclass(frozen=True)
class UnrollConfig:
    """How long the inner problems are, and what of them is the meta-loss.

    Args:
      low: Shortest unroll, in inner steps. Lengths are log-uniform.
      high: Longest unroll.
      objective: ``"final"``: the mean normalised loss over fresh training batches after the
        unroll (as VeLO was trained). ``"tail"``: the mean over the last part of the unroll, whose
        batches are fresh too when they are drawn, and cost nothing extra.
      final_batches: Batches of the ``"final"`` objective.
      tail_fraction: Part of the unroll that the ``"tail"`` objective averages over.
    """

    low: int = 50
    high: int = 400
    objective: str = "tail"
    final_batches: int = 10
    tail_fraction: float = 0.2

    def __post_init__(self) -> None:
        check_integer(
            self, "unroll", low=(1, 10**7), high=(self.low, 10**7), final_batches=(1, 10_000)
        )
        check_number(self, "unroll", tail_fraction=(0.0, 1.0))
        check_choice(self, "unroll", objective=("tail", "final"))


@dataclass(frozen=True)
class EstimatorConfig:
    """Evolution strategies with antithetic pairs over the whole unroll.

    Args:
      sigma: Standard deviation of the perturbations, before ``scales``.
      pairs: Antithetic pairs for each task of an outer step, all in one program.
      tasks_per_step: Tasks (compiled programs) of an outer step; families take turns.
      shaping: What is made of a pair's losses: ``"sign"`` of the difference (as VeLO),
        ``"raw"`` difference, or ``"log"``: the difference of their logarithms.
      scales: For each group of weights, how much larger its perturbations and steps are; see
        `GROUPS`. Groups that are not named have 1; a group at 0 stays as it is.
    """

    sigma: float = 0.01
    pairs: int = 8
    tasks_per_step: int = 4
    shaping: str = "sign"
    scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_number(self, "estimator", sigma=(1e-6, 10.0))
        check_integer(self, "estimator", pairs=(1, 65_536), tasks_per_step=(1, 4096))
        check_choice(self, "estimator", shaping=("sign", "raw", "log"))
        require(
            isinstance(self.scales, Mapping), "estimator.scales", self.scales, "a mapping of groups"
        )
        for group, scale in self.scales.items():
            name = f"estimator.scales.{group}"
            require(group in GROUPS, name, group, f"one of the groups {', '.join(GROUPS)}")
            require(is_number(scale) and scale >= 0, name, scale, "a number of at least 0")


@dataclass(frozen=True)
class OuterConfig:
    """The outer optimizer: Adam on the estimated gradient.

    Args:
      steps: Outer steps.
      learning_rate: Peak learning rate.
      schedule: ``"constant"``, or ``"cosine"`` from the peak to a hundredth of it at ``steps``.
      warmup: Outer steps of linear warm-up.
      clip: Each coordinate of the gradient is clipped to this absolute value; 0: no clipping.
      b1: Decay of Adam's first moment.
      b2: Decay of Adam's second moment.
      average: Decay of the running average of the weights that is exported; 0: the last weights.
    """

    steps: int = 1000
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    warmup: int = 10
    clip: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    average: float = 0.98

    def __post_init__(self) -> None:
        check_integer(self, "outer", steps=(1, 10**8), warmup=(0, self.steps))
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
    """

    checkpoint_seconds: float = 60.0
    validate_every: int = 50
    validation_steps: int = 200
    validation_seeds: int = 2

    def __post_init__(self) -> None:
        check_number(self, "record", checkpoint_seconds=(0.0, 1e6))
        check_integer(
            self,
            "record",
            validate_every=(0, 10**8),
            validation_steps=(1, 10**7),
            validation_seeds=(1, 1000),
        )
