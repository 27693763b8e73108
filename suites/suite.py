"""`Suite`: task specs, a protocol and optimizers, as frozen data with one hash."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError, unknown_key
from velodrome.foundation.typed import read_as
from velodrome.optimizers.registry import optimizers
from velodrome.results.store.target import Target
from velodrome.suites.protocol import Grids, Protocol
from velodrome.taskgen.spec import TaskSpec

SCHEMA = 1
KIND = "velodrome-suite"


@dataclass(frozen=True)
class Suite:
    """Which tasks, under which protocol, trained by which optimizers.

    Args:
      name: A label; not part of the hash.
      tasks: The task specs, in the order of reports; no two may be equal.
      protocol: How they are run.
      optimizers: Names as the optimizer registry takes them; the protocol's baseline is usually
        among them.
      targets: What is to be reached on some tasks, by their labels. Reports say when it was; no
        run depends on it, so it is not part of the hash.

    Raises:
      SpecError: There is no task or no optimizer, or one is listed twice, or a target has no task.

    Examples:
      >>> task = velodrome.TaskSpec("mlp", {"num_layers": 1}, velodrome.DataSpec("digits"), 32)
      >>> suite = velodrome.Suite("mine", (task,), velodrome.Protocol(steps=100))
      >>> suite.optimizers
      ('adam', 'velo')
    """

    name: str
    tasks: tuple[TaskSpec, ...]
    protocol: Protocol
    optimizers: tuple[str, ...] = ("adam", "velo")
    targets: Mapping[str, Target] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise SpecError("suite.tasks", [], "one or more task specs")
        if not self.optimizers:
            raise SpecError("suite.optimizers", [], "one or more names of optimizers")
        hashes = [task.hash for task in self.tasks]
        for index, task_hash in enumerate(hashes):
            if task_hash in hashes[:index]:
                raise SpecError(
                    f"suite.tasks[{index}]", self.tasks[index].label, "a task not in the suite yet"
                )
        for name in self.optimizers:
            if self.optimizers.count(name) > 1:
                raise SpecError("suite.optimizers", list(self.optimizers), "different names")
        labels = [task.label for task in self.tasks]
        for label in self.targets:
            if label not in labels:
                raise unknown_key("suite.targets", label, labels, "suite's tasks")
        for name in self.protocol.grids:
            if name not in self.optimizers:
                raise unknown_key("protocol.grids", name, self.optimizers, "suite's optimizers")

    @property
    def hash(self) -> str:
        """SHA-256 of tasks, protocol and optimizers (names of suite and tasks do not count).

        It is of what is asked for, as in two stores of the same suite. The code of optimizers and
        families is in the identity of each cell.
        """
        return content_hash(
            {
                "tasks": [task.spec_hash for task in self.tasks],
                "protocol": self.protocol.portable(),
                "optimizers": [optimizers.portable(name) for name in self.optimizers],
            }
        )

    def override(
        self,
        *,
        optimizers: Sequence[str] | None = None,
        grids: Grids | None = None,
        **protocol: object,
    ) -> Suite:
        """Return the suite with other optimizers or other fields of the protocol.

        A None changes nothing, and ``grids`` only those hyperparameters that it names. It is an
        error if ``steps`` is no longer a multiple of the evaluation cadence: the cadence is never
        adapted silently.
        """
        changes: dict[str, Any] = {k: value for k, value in protocol.items() if value is not None}
        if "learning_rates" in changes:
            changes["learning_rates"] = tuple(changes["learning_rates"])
        names = self.optimizers if optimizers is None else tuple(optimizers)
        changes["grids"] = {n: values for n, values in self.protocol.grids.items() if n in names}
        for name, values in (grids or {}).items():
            changes["grids"][name] = {**changes["grids"].get(name, {}), **values}
        return dataclasses.replace(
            self, protocol=dataclasses.replace(self.protocol, **changes), optimizers=names
        )

    def part(self, tasks: Sequence[TaskSpec], *, name: str) -> Suite:
        """Return a suite of some of the tasks, with their targets."""
        labels = {task.label for task in tasks}
        targets = {label: target for label, target in self.targets.items() if label in labels}
        return dataclasses.replace(self, name=name, tasks=tuple(tasks), targets=targets)

    def to_json(self) -> dict[str, object]:
        """Return the whole suite as JSON, with the hash of each task beside its spec."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "name": self.name,
            "protocol": self.protocol.to_json(),
            "optimizers": list(self.optimizers),
            "tasks": [self._entry(task) for task in self.tasks],
        }

    def _entry(self, task: TaskSpec) -> dict[str, object]:
        target = self.targets.get(task.label)
        known = {} if target is None else {"target": target.to_json()}
        return {"spec": task.to_json(), "hash": task.spec_hash, **known}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Suite:
        """Read what `to_json` wrote.

        Raises:
          SpecError: It is no suite, a spec is wrong, or a spec has another hash than recorded.
        """
        for key, expected in (("kind", KIND), ("schema", SCHEMA)):
            if content.get(key) != expected:
                raise SpecError(f"suite.{key}", content.get(key), repr(expected))
        names = content.get("optimizers", ["adam", "velo"])
        for key, kind, allowed in (
            ("name", str, "a string"),
            ("tasks", list, "a list of tasks"),
            ("protocol", Mapping, "a mapping of fields"),
        ):
            if key not in content:
                raise SpecError("suite", sorted(content), f"a mapping with the key {key!r}")
            if not isinstance(content[key], kind):
                raise SpecError(f"suite.{key}", content[key], allowed)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SpecError("suite.optimizers", names, "a list of names")
        tasks: list[TaskSpec] = []
        targets: dict[str, Target] = {}
        for index, entry in enumerate(content["tasks"]):
            if not isinstance(entry, Mapping) or not isinstance(entry.get("spec"), Mapping):
                raise SpecError(f"suite.tasks[{index}]", entry, "an object with the key 'spec'")
            task = TaskSpec.from_json(entry["spec"])
            if entry.get("hash", task.spec_hash) != task.spec_hash:
                raise SpecError(
                    f"suite.tasks[{index}].hash",
                    entry["hash"],
                    f"{task.spec_hash}, the hash of the spec beside it: a frozen list must not "
                    "change",
                )
            tasks.append(task)
            if (target := entry.get("target")) is not None:
                where = f"suite.tasks[{index}].target"
                targets[task.label] = read_as(Target, target, where)
        return cls(
            name=content["name"],
            tasks=tuple(tasks),
            protocol=Protocol.from_json(content["protocol"]),
            optimizers=tuple(names),
            targets=targets,
        )
