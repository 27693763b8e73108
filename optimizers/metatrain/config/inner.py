"""Sections of a meta-training config about what is trained, on what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from velodrome.optimizers.metatrain.config.reading import (
    check_entries,
    check_scales,
    complete,
    require,
    setting,
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
        ``"features"`` as one whose LSTM holds features (`velo.handmade.features`);
        ``"random"`` from small random weights; anything else is a name or path of weights.
    """

    hidden: int = setting(32, 1, 8192)
    bank: int = setting(16, 1, 8192)
    init: str = "structured"

    def __post_init__(self) -> None:
        complete(self, "architecture")


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
      validation_seed: Sampler seed of those, 1,000,000 or more, and different.
      exclude_data: Data sets that no task may use. It must name those of `HELD_OUT_DATA`.
      use_held_out_data: Lift that: then no evaluation shows what the weights do on new data.
      vary: Dynamic fields of the configs (such as the initialiser) that every problem draws
        afresh; all others are the spec's. An activation that varies is computed ten times over.
      augmentations: For each task augmentation (see `velodrome.taskgen.augmentation`), the
        probability that a static config has it; its dynamic fields are drawn afresh for every
        problem.
    """

    families: tuple[str, ...] = FAMILIES
    mixture: Mapping[str, float] = field(default_factory=dict)
    data: str = setting("built-in", "built-in", "published")
    per_family: int = setting(6, 1, 10_000)
    max_mflop: float = setting(1.0, 1e-3, 1e9)
    seed: int = setting(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED, 2**62)
    validation_per_family: int = setting(2, 0, 10_000)
    validation_seed: int = setting(FIRST_TRAINING_SEED + 1, FIRST_TRAINING_SEED, 2**62)
    exclude_data: tuple[str, ...] = HELD_OUT_DATA
    use_held_out_data: bool = setting(False)
    vary: tuple[str, ...] = ("initializer", "init_scale")
    augmentations: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        complete(self, "tasks")
        ok = 0 < len(self.families) == len(set(self.families))
        require(ok, "tasks.families", self.families, "a list of families, none of them twice")
        check_entries(
            "tasks.mixture", self.mixture, self.families, lambda x: x > 0, "a positive weight"
        )
        check_entries(
            "tasks.augmentations",
            self.augmentations,
            KINDS,
            lambda x: 0 <= x <= 1,
            "a probability from 0 to 1",
        )
        missing = [name for name in HELD_OUT_DATA if name not in self.exclude_data]
        require(
            self.use_held_out_data or not missing,
            "tasks.exclude_data",
            self.exclude_data,
            f"a list with {', '.join(missing)}: kept for evaluation on new data (unless "
            "tasks.use_held_out_data is true)",
        )
        allowed = f"another seed than tasks.seed ({self.seed})"
        ok = self.validation_seed != self.seed
        require(ok, "tasks.validation_seed", self.validation_seed, allowed)


@dataclass(frozen=True)
class UnrollConfig:
    """How long the inner problems are, and which part of them is the meta-loss.

    Args:
      low: Shortest unroll, in inner steps. Lengths are log-uniform.
      high: Longest unroll.
      objective: ``"final"``: the mean normalised loss over fresh training batches after the
        unroll (as VeLO was trained). ``"tail"``: the mean over the last part of the unroll, whose
        batches are fresh too when they are drawn, and cost nothing extra.
      final_batches: Batches of the ``"final"`` objective.
      tail_fraction: Part of the unroll that the ``"tail"`` objective averages over.
    """

    low: int = setting(50, 1, 10**7)
    high: int = setting(400, 1, 10**7)
    objective: str = setting("tail", "tail", "final")
    final_batches: int = setting(10, 1, 10_000)
    tail_fraction: float = setting(0.2, 0.0, 1.0)

    def __post_init__(self) -> None:
        complete(self, "unroll")
        allowed = f"at least unroll.low ({self.low})"
        require(self.high >= self.low, "unroll.high", self.high, allowed)


@dataclass(frozen=True)
class PhaseConfig:
    """An early phase of a run, with its own lengths and groups: a curriculum.

    Args:
      until: The phase ends before this outer step.
      low: Shortest unroll of the phase.
      high: Longest unroll of the phase, at most ``unroll.high``.
      scales: As ``estimator.scales``, for this phase. Empty: those of the estimator.
    """

    until: int = setting(1, 1, 10**8)
    low: int = setting(50, 1, 10**7)
    high: int = setting(400, 1, 10**7)
    scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        complete(self, "phases")
        check_scales("phases.scales", self.scales)
        require(self.high >= self.low, "phases.high", self.high, f"at least low ({self.low})")
