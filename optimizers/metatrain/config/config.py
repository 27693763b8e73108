"""`MetaTrainConfig`: everything that defines a meta-training run, as frozen data and one JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.foundation.files import resolved
from velodrome.optimizers.metatrain.config.inner import (
    ArchitectureConfig,
    PhaseConfig,
    TasksConfig,
    UnrollConfig,
)
from velodrome.optimizers.metatrain.config.outer import EstimatorConfig, OuterConfig, RecordConfig
from velodrome.optimizers.metatrain.config.reading import JsonConfig, complete, require, setting
from velodrome.optimizers.metatrain.config.search import SearchConfig


@dataclass(frozen=True)
class MetaTrainConfig(JsonConfig):
    """A meta-training run, completely: equal configs give equal numbers on one machine.

    Args:
      seed: Seed of everything random except the sampling of tasks.
      architecture: Size and start of the learned optimizer.
      tasks: What it is trained on.
      unroll: How long, and the meta-loss.
      estimator: The gradient estimate.
      outer: The outer optimizer.
      record: Checkpoints and validation.
      phases: Early phases, in order; after them ``unroll`` and ``estimator`` hold as they are.
      schema: Version of this form.

    Raises:
      SpecError: A field has the wrong type or is out of range.

    Examples:
      >>> config = velodrome.MetaTrainConfig(seed=1)
      >>> len(config.hash)
      64
    """

    seed: int = setting(0, 0, 2**62)
    architecture: ArchitectureConfig = ArchitectureConfig()
    tasks: TasksConfig = field(default_factory=TasksConfig)
    unroll: UnrollConfig = UnrollConfig()
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    outer: OuterConfig = OuterConfig()
    record: RecordConfig = RecordConfig()
    phases: tuple[PhaseConfig, ...] = ()
    schema: int = setting(1, 1, 1)

    def __post_init__(self) -> None:
        complete(self)
        ends = [phase.until for phase in self.phases]
        require(ends == sorted(set(ends)), "phases.until", ends, "growing from phase to phase")
        allowed = f"at most unroll.high ({self.unroll.high})"
        for phase in self.phases:
            require(phase.high <= self.unroll.high, "phases.high", phase.high, allowed)

    def phase(self, step: int) -> PhaseConfig:
        """Return the lengths and scales that hold at an outer step."""
        base = PhaseConfig(
            self.outer.steps, self.unroll.low, self.unroll.high, self.estimator.scales
        )
        found = next((phase for phase in self.phases if step < phase.until), base)
        return found if found.scales else dataclasses.replace(found, scales=base.scales)

    @property
    def hash(self) -> str:
        """SHA-256 of what defines the numbers: all but ``record``, and ``outer.steps`` included."""
        values = self.to_json()
        values.pop("record")
        return content_hash(values)


#: Configs that come with the package: ``velo-tiny.json`` is known as "velo-tiny".
CONFIGS = Path(__file__).parents[1] / "configs"


def builtin_configs() -> list[str]:
    """Return the names of the configs that come with the package, sorted."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def load_config(config: str | os.PathLike[str]) -> MetaTrainConfig:
    """Read a config of an evolution; arguments and errors are those of `load_plan`.

    Raises:
      SpecError: It is the config of a search, besides.
    """
    plan = load_plan(config)
    if isinstance(plan, SearchConfig):
        raise SpecError("method", plan.method, "read by load_plan: it is the config of a search")
    return plan


def load_plan(config: str | os.PathLike[str]) -> MetaTrainConfig | SearchConfig:
    """Read a config of an evolution, or of a search (with ``"method": "search"``).

    Args:
      config: The name of a built-in config (see `builtin_configs`), or the path of a JSON file. A
        word without a suffix and without a ``/`` is a name; ``./word`` is a path.

    Raises:
      UnknownNameError: There is no built-in config of that name.
      VelodromeError: There is no such file, or it is not JSON.
      SpecError: A field is unknown or not allowed.
    """
    values = _read_json(config)
    if isinstance(values, Mapping) and "method" in values:
        return SearchConfig.from_json(values)
    return MetaTrainConfig.from_json(values)


def _read_json(config: str | os.PathLike[str]) -> Any:
    path = Path(config)
    if isinstance(config, str) and config == path.name and not path.suffix:
        if config not in builtin_configs():
            raise UnknownNameError("built-in meta-training config", config, builtin_configs())
        path = CONFIGS / f"{config}.json"
    path = resolved(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VelodromeError(
            f"cannot read the config {path}: {error.strerror}. Give the path of a JSON file, or "
            f"the name of a built-in config ({', '.join(builtin_configs())})."
        ) from error
    except ValueError as error:
        raise VelodromeError(f"{path} is not JSON: {error}.") from error
