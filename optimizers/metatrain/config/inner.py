"""Sections of a meta-training config about what is trained, on what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from velodrome.optimizers.metatrain.config.checks import (
    check_choice,
    check_integer,
    check_number,
    check_scales,
    check_string,
    check_strings,
    is_number,
    require,
)
from velodrome.taskgen.augmentation import KINDS

#: Sampler seeds below this one are left to evaluation: no meta-training task has one.
FIRST_TRAINING_SEED = 1_000_000

#: Built-in data sets that only evaluation uses, so that there are tasks on new data.
HELD_OUT_DATA = ("photos",)

FAMILIES = ("mlp", "cnn", "rnn", "transformer")


@dataclass(frozen=True)
class ArchitectureConfig:
    """Size of the learned optimizer and where its weights start.

    Args:
      hidden: Size of the per-tensor LSTM.
      bank: Number of per-parameter networks that are mixed.
      init: ``"structured"`` starts as a normalised-momentum optimizer with a falling step;
        ``"features"`` as one whose LSTM holds features (`velodrome.optimizers.velo.handmade.features`);
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
      families: Task families; each is drawn equally often, unless ``mixture`` says otherwise.
      mixture: Weights of families: each turn draws a family with them, then one of its tasks.
        Those that are not named have 0. Empty: families and tasks take turns.
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
      augmentations: For each task augmentation (see `velodrome.taskgen.wrappers.apply`) the probability that a
        static config has it; its dynamic fields are drawn anew for every problem.
    """

    families: tuple[str, ...] = FAMILIES
    mixture: Mapping[str, float] = field(default_factory=dict)
    data: str = "built-in"
    per_family: int = 6
    max_mflop: float = 1.0
    seed: int = FIRST_TRAINING_SEED
    validation_per_family: int = 2
    validation_seed: int = FIRST_TRAINING_SEED + 1
    exclude_data: tuple[str, ...] = HELD_OUT_DATA
    use_held_out_data: bool = False
    vary: tuple[str, ...] = ("initializer", "init_scale")
    augmentations: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = "tasks"
        check_strings(self, where, "families", "exclude_data", "vary")
        ok = 0 < len(self.families) == len(set(self.families))
        require(ok, "tasks.families", self.families, "a list of families, none of them twice")
        check_choice(self, where, data=("built-in", "published"))
        check_integer(
            self,
            where,
            per_family=(1, 10_000),
            seed=(FIRST_TRAINING_SEED, 2**62),
            validation_per_family=(0, 10_000),
            validation_seed=(FIRST_TRAINING_SEED, 2**62),
        )
        check_number(self, where, max_mflop=(1e-3, 1e9))
        require(isinstance(self.mixture, Mapping), "tasks.mixture", self.mixture, "a mapping")
        for key, weight in self.mixture.items():
            name = f"tasks.mixture.{key}"
            require(key in self.families, name, key, f"one of {', '.join(self.families)}")
            require(is_number(weight) and weight > 0, name, weight, "a positive weight")
        require(
            isinstance(self.augmentations, Mapping),
            "tasks.augmentations",
            self.augmentations,
            "a mapping of augmentations to probabilities",
        )
        for key, probability in self.augmentations.items():
            name = f"tasks.augmentations.{key}"
            require(key in KINDS, name, key, f"one of {', '.join(KINDS)}")
            ok = is_number(probability) and 0 <= probability <= 1
            require(ok, name, probability, "a probability from 0 to 1")
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
class PhaseConfig:
    """An early phase of a run, with lengths and groups of its own: a curriculum.

    Args:
      until: The phase ends before this outer step.
      low: Shortest unroll of the phase.
      high: Longest unroll of the phase, at most ``unroll.high``.
      scales: As ``estimator.scales``, for this phase. Empty: those of the estimator.
    """

    until: int = 1
    low: int = 50
    high: int = 400
    scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_integer(self, "phases", until=(1, 10**8), low=(1, 10**7), high=(self.low, 10**7))
        check_scales(self.scales, "phases.scales")
