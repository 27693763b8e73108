"""`MetaTrainConfig`: everything that defines a meta-training run, as frozen data and one JSON."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundation.canonical import content_hash
from foundation.errors import SpecError, UnknownNameError, VelodromeError
from optimizers.metatrain.checks import (
    check_choice,
    check_integer,
    check_number,
    check_string,
    check_strings,
    is_number,
    require,
)

SCHEMA = 1

#: Sampler seeds below this one are left to evaluation: no meta-training task has one.
FIRST_TRAINING_SEED = 1_000_000

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
      exclude_data: Data sets that no task may use.
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
    exclude_data: tuple[str, ...] = ()
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


@dataclass(frozen=True)
class MetaTrainConfig:
    """A meta-training run, completely: equal configs give equal numbers on one machine.

    Args:
      seed: Seed of everything random except the sampling of tasks.
      architecture: Size and start of the learned optimizer.
      tasks: What it is trained on.
      unroll: How long, and the meta-loss.
      estimator: The gradient estimate.
      outer: The outer optimizer.
      record: Checkpoints and validation.
      schema: Version of this form.

    Raises:
      SpecError: A field has the wrong type or is out of range.
    """

    seed: int = 0
    architecture: ArchitectureConfig = ArchitectureConfig()
    tasks: TasksConfig = TasksConfig()
    unroll: UnrollConfig = UnrollConfig()
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    outer: OuterConfig = OuterConfig()
    record: RecordConfig = RecordConfig()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        check_integer(self, "", seed=(0, 2**62), schema=(SCHEMA, SCHEMA))
        for section, kind in _sections().items():
            value = getattr(self, section)
            require(isinstance(value, kind), section, value, f"a {kind.__name__}")

    def to_json(self) -> dict[str, Any]:
        """Returns all fields as JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MetaTrainConfig:
        """Reads a mapping such as `to_json` wrote; what is left out is at its default.

        Raises:
          SpecError: A key is unknown, or a value has the wrong type or is out of range.
        """
        made = _read_section(cls, "", values)
        for section, kind in _sections().items():
            if section in made:
                made[section] = kind(**_read_section(kind, section, made[section]))
        return cls(**made)

    @property
    def hash(self) -> str:
        """SHA-256 of what defines the numbers: all but ``record``, and ``outer.steps`` included."""
        values = self.to_json()
        values.pop("record")
        return content_hash(values)


#: Configs that come with the package: ``velo-tiny.json`` is known as "velo-tiny".
CONFIGS = Path(__file__).parent / "configs"


def builtin_configs() -> list[str]:
    """Returns the names of the configs that come with the package, sorted."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def load_config(config: str | os.PathLike[str]) -> MetaTrainConfig:
    """Reads a config.

    Args:
      config: The name of a built-in config (see `builtin_configs`), or the path of a JSON file. A
        word without a suffix and without a ``/`` is a name; ``./word`` is a path.

    Raises:
      UnknownNameError: There is no built-in config of that name.
      VelodromeError: There is no such file, or it is not JSON.
      SpecError: A field is unknown or not allowed.
    """
    path = Path(config)
    if isinstance(config, str) and config == path.name and not path.suffix:
        if config not in builtin_configs():
            raise UnknownNameError("built-in meta-training config", config, builtin_configs())
        path = CONFIGS / f"{config}.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VelodromeError(
            f"cannot read the config {path}: {error.strerror}. Give the path of a JSON file, or "
            f"the name of a built-in config ({', '.join(builtin_configs())})."
        ) from error
    except ValueError as error:
        raise VelodromeError(f"{path} is not JSON: {error}.") from error
    return MetaTrainConfig.from_json(values)


def _sections() -> dict[str, Any]:
    types = typing.get_type_hints(MetaTrainConfig)
    return {name: kind for name, kind in types.items() if dataclasses.is_dataclass(kind)}


def _read_section(cls: type, where: str, values: Any) -> dict[str, Any]:
    """Returns the fields of a section as their types say; ranges are the dataclass's matter."""
    types = typing.get_type_hints(cls)
    require(isinstance(values, Mapping), where or "config", values, "a mapping of fields")
    read = {}
    for key, value in values.items():
        if key not in types:
            close = difflib.get_close_matches(str(key), types, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError(where or "config", key, f"one of the keys {', '.join(types)}{hint}")
        read[key] = _read_value(types[key], f"{where}.{key}" if where else key, value)
    return read


def _read_value(kind: Any, name: str, value: Any) -> Any:
    if kind is float:
        require(is_number(value), name, value, "a number")
        return float(value)
    if kind in (int, str):
        require(type(value) is kind, name, value, "an integer" if kind is int else "a string")
    if typing.get_origin(kind) is tuple:
        ok = isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)
        require(ok, name, value, "a list of strings")
        return tuple(value)
    if typing.get_origin(kind) is Mapping and isinstance(value, Mapping):
        return {key: float(entry) if is_number(entry) else entry for key, entry in value.items()}
    return value
