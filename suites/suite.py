"""`Suite`: task specs, a protocol and optimizers; and the registry of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.canonical import content_hash
from foundation.errors import PlanError, SpecError, VelodromeError
from foundation.registry import Registry
from suites.protocol import Protocol
from taskgen.spec import TaskSpec
from taskgen.specfile import KIND as TASKS_KIND
from taskgen.specfile import load_specs

SCHEMA = 1
KIND = "velodrome-suite"
LISTS = Path(__file__).parent / "lists"

#: The protocol of a file of tasks, which says nothing about one.
DEFAULT_PROTOCOL = Protocol(steps=2_000, seeds=3, baseline_multiple=5)


@dataclass(frozen=True)
class Suite:
    """What is asked: which tasks, under which protocol, trained by which optimizers.

    Args:
      name: A label; not part of the hash.
      tasks: The task specs, in the order of reports; no two may be equal.
      protocol: How they are run.
      optimizers: Names as the optimizer registry takes them; the protocol's baseline is usually
        among them.

    Raises:
      SpecError: There is no task or no optimizer, or one is there twice.
    """

    name: str
    tasks: tuple[TaskSpec, ...]
    protocol: Protocol
    optimizers: tuple[str, ...] = ("adam", "velo")

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

    @property
    def hash(self) -> str:
        """SHA-256 of tasks, protocol and optimizers (names of suite and tasks do not count)."""
        return content_hash(
            {
                "tasks": [task.hash for task in self.tasks],
                "protocol": self.protocol.to_json(),
                "optimizers": list(self.optimizers),
            }
        )

    def override(self, *, optimizers: Sequence[str] | None = None, **protocol: Any) -> Suite:
        """Returns the suite with other optimizers or other fields of the protocol.

        What is None stays. When ``steps`` no longer is a multiple of the evaluation cadence, that
        is an error and not quietly adapted.

        Args:
          optimizers: Names of optimizers.
          **protocol: Fields of :class:`Protocol`.
        """
        changes = {name: value for name, value in protocol.items() if value is not None}
        if "learning_rates" in changes:
            changes["learning_rates"] = tuple(changes["learning_rates"])
        return dataclasses.replace(
            self,
            protocol=dataclasses.replace(self.protocol, **changes),
            optimizers=self.optimizers if optimizers is None else tuple(optimizers),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the whole suite as JSON, with the hash of each task beside its spec."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "name": self.name,
            "protocol": self.protocol.to_json(),
            "optimizers": list(self.optimizers),
            "tasks": [{"spec": task.to_json(), "hash": task.hash} for task in self.tasks],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Suite:
        """Reads what :meth:`to_json` wrote.

        Raises:
          SpecError: It is no suite, a spec is wrong, or a spec has another hash than recorded.
        """
        if content.get("kind") != KIND:
            raise SpecError("suite.kind", content.get("kind"), f"{KIND!r}")
        if content.get("schema") != SCHEMA:
            raise SpecError("suite.schema", content.get("schema"), f"{SCHEMA}")
        for key in ("name", "protocol", "tasks"):
            if key not in content:
                raise SpecError("suite", sorted(content), f"a mapping with the key {key!r}")
        if not isinstance(content["name"], str):
            raise SpecError("suite.name", content["name"], "a string")
        if not isinstance(content["tasks"], list):
            raise SpecError("suite.tasks", content["tasks"], "a list of tasks")
        if not isinstance(content["protocol"], Mapping):
            raise SpecError("suite.protocol", content["protocol"], "a mapping of fields")
        optimizers = content.get("optimizers", ["adam", "velo"])
        if not isinstance(optimizers, list) or not all(isinstance(o, str) for o in optimizers):
            raise SpecError("suite.optimizers", optimizers, "a list of names")
        tasks = []
        for index, entry in enumerate(content["tasks"]):
            if not isinstance(entry, Mapping) or not isinstance(entry.get("spec"), Mapping):
                raise SpecError(f"suite.tasks[{index}]", entry, "an object with the key 'spec'")
            task = TaskSpec.from_json(entry["spec"])
            if entry.get("hash", task.hash) != task.hash:
                raise SpecError(
                    f"suite.tasks[{index}].hash",
                    entry["hash"],
                    f"{task.hash}, the hash of the spec beside it: a frozen list must not change",
                )
            tasks.append(task)
        return cls(
            name=content["name"],
            tasks=tuple(tasks),
            protocol=Protocol.from_json(content["protocol"]),
            optimizers=tuple(optimizers),
        )


def load_suite(name: str) -> Suite:
    """Returns the suite that ``name`` stands for.

    Args:
      name: A registered suite, a part of one (a group of its published tasks as in
        ``velodrome-83/mlp``, or its tasks on a data set as in ``velodrome-83/mnist``), a JSON
        file of a suite or of tasks (as ``velodrome sample`` writes them; they get the default
        protocol), or ``path/to/file.py:object``. What is not registered is taken for a file if
        it ends in ``.json``, has a slash, or is the name of one.

    Raises:
      UnknownNameError: No suite has that name.
      SpecError: The file is not a suite or is not valid.
      PlanError: The function that makes the suite raised something, or returned something else.
    """
    if name.endswith(".json"):
        return _from_file(Path(name))
    if name not in suites and ".py:" not in name:
        whole, slash, group = name.partition("/")
        if slash and whole in suites:
            from suites.slices import part_of_suite  # here: it needs the class above

            return part_of_suite(load_suite(whole), group)
        if is_path(name):
            return _from_file(Path(name))
    found: Any = suites.get(name)
    made = _call(name, found) if callable(found) else found
    if not isinstance(made, Suite):
        raise PlanError(
            f"the suite {name!r} must be a velodrome.Suite or a function that returns one, but "
            f"gave {made!r:.80} (of type {type(made).__name__})."
        )
    return made


def is_path(name: str) -> bool:
    """Whether a name that is not registered is taken for a file: it is one, or has a slash."""
    return "/" in name or Path(name).is_file()


def _call(name: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # a user's function may do anything; it is told
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise PlanError(
            f"the function {getattr(function, '__qualname__', function)} that makes the suite "
            f"{name!r} raised {what}"
        ) from error


def _from_file(path: Path) -> Suite:
    if (path / "suite.json").is_file():
        raise SpecError(
            "suite", str(path), f"a file; this is a store, its suite is {path / 'suite.json'}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        taken = (
            "" if path.suffix == ".json" else "; as no suite has that name, it is read as a file"
        )
        raise SpecError(
            "suite", str(path), f"a file that can be read ({error.strerror}{taken})"
        ) from error
    except ValueError as error:
        raise SpecError("suite", str(path), f"a JSON file ({error})") from error
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == TASKS_KIND:
        return Suite(name=path.stem, tasks=tuple(load_specs(path)), protocol=DEFAULT_PROTOCOL)
    if kind != KIND:
        raise SpecError("suite", str(path), f"a file of the kind {KIND!r} or {TASKS_KIND!r}")
    return Suite.from_json(content)


def frozen(name: str) -> Suite:
    """Returns a suite of this package's ``lists`` folder."""
    return _from_file(LISTS / f"{name}.json")


def smoke() -> Suite:
    """Two tiny tasks, a few steps: for tests, seconds."""
    return frozen("smoke")


def demo() -> Suite:
    """Two small tasks of each family on built-in data, minutes on two cores."""
    return frozen("demo")


def heldout_40() -> Suite:
    """40 tasks that meta-trained weights are judged on; `suites.heldout` says how they came."""
    return frozen("heldout-40")


def heldout_8() -> Suite:
    """8 of these, with five rates: for other lengths of runs, and other declared lengths."""
    return frozen("heldout-8")


def heldout_8_width() -> Suite:
    """The 8 at 1, 4 and 16 times their width."""
    return frozen("heldout-8-width")


def velodrome_83() -> Suite:
    """83 published tasks, under the published protocol: what the VeLO paper evaluates on."""
    return frozen("velodrome-83")


def velodrome_extended() -> Suite:
    """The other published tasks that are implemented, under the same protocol."""
    return frozen("velodrome-extended")


def _check(name: str, value: Any) -> None:
    if not isinstance(value, Suite) and not callable(value):
        raise VelodromeError(
            f"{name!r} is not a suite: expected a Suite or a function that returns one, found "
            f"{type(value).__name__}."
        )


suites: Registry[Any] = Registry("suite", group="velodrome.suites", check=_check)
suites.register("smoke", smoke)
suites.register("demo", demo)
suites.register("heldout-40", heldout_40)
suites.register("heldout-8", heldout_8)
suites.register("heldout-8-width", heldout_8_width)
suites.register("velodrome-83", velodrome_83)
suites.register("velodrome-extended", velodrome_extended)


def as_suite(suite: Suite | str) -> Suite:
    """Returns ``suite`` itself, or the one that it names.

    Raises:
      PlanError: It is neither.
    """
    made = load_suite(suite) if isinstance(suite, str) else suite
    if not isinstance(made, Suite):
        raise PlanError(
            f"expected a velodrome.Suite or the name of one, but found {made!r:.80} (of type "
            f"{type(made).__name__})."
        )
    return made
