"""`ExperimentTracker`: gets the curves of a run as they are finished; the store stays the record.

A tracker of your own has these three methods, and is given by its path, or by an entry point in
the group ``velodrome.trackers`` whose value makes one from a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard, cast, runtime_checkable

import pandas as pd

from velodrome.foundation.canonical import canonical_json, content_hash
from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.registry import Registry


@dataclass(frozen=True)
class TrackedRun:
    """A training run, as a tracker sees it.

    Attributes:
      optimizer: Its label, which names the weights of a learned one.
      data: Where its data come from: ``"real"``, ``"built-in"``, ``"own"`` or ``"stand-in"``.
      horizon: Updates that it makes.
      cell: Id of the optimizer on the task; all runs of a sweep share it.

    Examples:
      >>> run = velodrome.TrackedRun("demo", "mlp-0", "mlp", "built-in", "Adam", 0, 200, "c0")
      >>> run.name
      'mlp-0 Adam seed 0'
    """

    suite: str
    task: str
    family: str
    data: str
    optimizer: str
    seed: int
    horizon: int
    cell: str
    hyperparameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """16 hexadecimal digits: the same whenever this run is asked for."""
        point = canonical_json(dict(self.hyperparameters))
        return content_hash([self.cell, point, self.seed])[:16]

    @property
    def name(self) -> str:
        """Its name for people, such as ``mlp-3 Adam learning_rate=0.001 seed 0``."""
        swept = (f"{key}={value}" for key, value in self.hyperparameters.items())
        return " ".join([self.task, self.optimizer, *swept, f"seed {self.seed}"])

    @property
    def facts(self) -> dict[str, object]:
        """Everything that is known of it, flat."""
        names = ("suite", "task", "family", "data", "optimizer", "seed", "horizon", "cell")
        return {name: getattr(self, name) for name in names} | dict(self.hyperparameters)


@runtime_checkable
class ExperimentTracker(Protocol):
    """Follows one call of `velodrome.run`.

    Examples:
      >>> class Printer:
      ...     def on_start(self, settings): ...
      ...     def on_curve(self, run, curve):
      ...         print(run.name, curve["train loss"].min())
      ...     def on_end(self): ...
      >>> isinstance(Printer(), velodrome.ExperimentTracker)
      True
    """

    def on_start(self, settings: Mapping[str, object]) -> None:
        """The call begins: its suite, store and protocol, flat."""

    def on_curve(self, run: TrackedRun, curve: pd.DataFrame) -> None:
        """A run was trained.

        ``curve`` has a row for each evaluated step (the index), and columns such as "train loss"
        and "heldout accuracy", which are NaN where they were not measured. It begins where this
        training began: a run that was continued comes in parts. A part that diverged before its
        first evaluation is left out.
        """

    def on_end(self) -> None:
        """The call ends, for whatever reason."""


#: Makes a tracker from the text after its name, such as the project in ``wandb:PROJECT``.
Factory = Callable[[str], ExperimentTracker]


def _check(name: str, value: object) -> None:
    if not isinstance(value, ExperimentTracker) and not callable(value):
        raise VelodromeError(
            f"{name!r} is not a tracker: expected on_start, on_curve and on_end, or a function "
            f"that returns what has them, found {type(value).__name__}."
        )


trackers: Registry[Factory | ExperimentTracker] = Registry(
    "tracker", group="velodrome.trackers", check=_check
)
for _name, _class in (("wandb", "Wandb"), ("mlflow", "Mlflow"), ("tensorboard", "TensorBoard")):
    _target = f"velodrome.suites.running.trackers.{_name}_tracker:{_class}Tracker"
    trackers.register_lazy(_name, _target)
trackers.complete()


def make_trackers(given: Sequence[str | ExperimentTracker]) -> list[ExperimentTracker]:
    """Return the trackers of some names, such as ``"wandb:PROJECT"`` or ``"mine.py:tracker"``.

    Raises:
      UnknownNameError: Nothing has that name.
      VelodromeError: It is no tracker, or the library that it needs is not installed.
    """
    return [_make(one) if isinstance(one, str) else one for one in given]


def _make(name: str) -> ExperimentTracker:
    head, _, text = name.partition(":")
    known = head in trackers.names()
    found = trackers.get(head if known else name)
    made = found if _follows(found) else cast(Factory, found)(text if known else "")
    if not _follows(made):
        raise VelodromeError(
            f"{name!r} made {type(made).__name__}, which has not on_start, on_curve and on_end."
        )
    return made


def _follows(value: object) -> TypeGuard[ExperimentTracker]:
    return isinstance(value, ExperimentTracker) and not isinstance(value, type)
