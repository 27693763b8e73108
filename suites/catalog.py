"""Suites by name: built in, from an entry point, or from a file; and parts of suites."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

from velodrome.foundation.errors import (
    PlanError,
    SpecError,
    UnknownNameError,
    VelodromeError,
    which_object,
)
from velodrome.foundation.files import resolved
from velodrome.foundation.place import Place
from velodrome.foundation.registry import Registry
from velodrome.results.store.question import FOLDER as QUESTIONS
from velodrome.results.store.question import KIND as QUESTION_KIND
from velodrome.suites.protocol import Protocol
from velodrome.suites.published.tasks import group_of, published_tasks, refuse_missing
from velodrome.suites.suite import KIND, Suite
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.specfile import KIND as TASKS_KIND
from velodrome.taskgen.specfile import load_specs

LISTS = Path(__file__).parent / "lists"

#: The frozen suites; `scripts/freeze_suites.py` makes their lists.
FROZEN = (
    "smoke",  # two tiny tasks, a few steps: for tests, seconds
    "demo",  # two small tasks of each family on built-in data: minutes on two cores
    "sprint",  # 12 small tasks: the leaderboard, minutes for one more optimizer
    "heldout-40",  # 40 tasks that meta-trained weights are judged on
    "heldout-8",  # 8 of these, with five rates: for other lengths of runs, and declared lengths
    "heldout-8-width",  # the 8 at 1, 4 and 16 times their width
    "velodrome-83",  # 83 published tasks under the published protocol of the VeLO paper
    "velodrome-extended",  # the other published tasks that are implemented, likewise
    "stress-parameters",  # decoders and MLPs of a million to over a billion parameters
    "stress-steps-2k",  # three small tasks for 2,000 steps, and those below for more
    "stress-steps-20k",
    "stress-steps-100k",
    "stress-steps-200k",
    "stress-steps-400k",
    "stress-horizon",  # the 8 held-out tasks with a wrong number of steps declared
    "mlcommons-mini",  # six workloads of MLCommons, shrunk until a CPU trains them in minutes
    "mlcommons-6",  # the workloads of the paper's second result at full size, on their own data
    "mlcommons-8",  # and the other two
)

#: The protocol of a file of tasks, which has none.
DEFAULT_PROTOCOL = Protocol(steps=2_000, seeds=3, baseline_multiple=5)


def load_suite(name: str) -> Suite:
    """Return the suite that ``name`` stands for.

    Args:
      name: A registered suite, a part of one (a group of its published tasks as in
        ``velodrome-83/mlp``, its tasks on a data set as in ``velodrome-83/mnist``, or one task), a
        JSON file of a suite or of tasks (as ``velodrome sample`` writes them; they get the default
        protocol), or ``path/to/file.py:object``. A name that is not registered is a file if it
        ends in ``.json``, has a slash, or is the name of an existing file.

    Raises:
      UnknownNameError: No suite has that name.
      SpecError: The file is not a suite or is not valid.
      PlanError: The function that makes the suite raised something, or returned something else.

    Examples:
      >>> suite = velodrome.load_suite("demo")
      >>> len(suite.tasks), suite.protocol.steps, suite.optimizers
      (8, 500, ('adam', 'velo'))
    """
    if name.endswith(".json"):
        return _from_file(Path(name))
    if name.endswith(".py") and name not in suites:
        raise which_object(name)
    place = Place.of(name)
    if name not in suites and not (place and place.is_file):
        whole, slash, group = name.partition("/")
        if slash and whole in suites:
            return part_of_suite(load_suite(whole), group)
        if is_path(name):
            return _from_file(Path(name))
    found = suites.get(name)
    made = _call(name, found) if callable(found) else found
    if not isinstance(made, Suite):
        raise PlanError(
            f"the suite {name!r} must be a velodrome.Suite or a function that returns one, but "
            f"gave {made!r:.80} (of type {type(made).__name__})."
        )
    return made


def as_suite(suite: Suite | str) -> Suite:
    """Return ``suite`` itself, or the one that it names.

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


def is_path(name: str) -> bool:
    """Return whether a name that is not registered means a file: it exists, or has a slash."""
    return "/" in name or (bool(name) and resolved(name).is_file())


def frozen(name: str) -> Suite:
    """Return a suite of this package's ``lists`` folder."""
    return _from_file(LISTS / f"{name}.json")


def slices(suite: Suite) -> dict[str, Suite]:
    """Return the published tasks of a suite group by group, as suites by name.

    Empty where there is only one group, or none.
    """
    known = published_tasks()
    parts = _parts(suite, lambda task: group_of(task.name) if task.name in known else "")
    return parts if len(parts) > 1 else {}


def part_of_suite(suite: Suite, part: str) -> Suite:
    """Return a part of a suite as a suite.

    Args:
      suite: The whole.
      part: A group of its published tasks, the data set of some of its tasks, or the label of a
        task.

    Raises:
      UnknownNameError: It has no such part.
      PlanError: The part is a published task that is not implemented.
    """
    refuse_missing(part)
    parts = {
        **_parts(suite, lambda task: task.label),  # sampled tasks have no other name
        **_parts(suite, lambda task: task.data.name),
        **slices(suite),
    }
    name = f"{suite.name}/{part}"
    if name not in parts:
        raise UnknownNameError("part of a suite", name, parts)
    return parts[name]


def _parts(suite: Suite, part_of: Callable[[TaskSpec], str]) -> dict[str, Suite]:
    parts: dict[str, list[TaskSpec]] = {}
    for task in suite.tasks:
        if part := part_of(task):
            parts.setdefault(f"{suite.name}/{part}", []).append(task)
    return {name: suite.part(tasks, name=name) for name, tasks in parts.items()}


def _call(name: str, function: Callable[[], object]) -> object:
    try:
        return function()
    except (Exception, SystemExit) as error:  # a user's function may do anything
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise PlanError(
            f"the function {getattr(function, '__qualname__', function)} that makes the suite "
            f"{name!r} raised {what}"
        ) from error


def _from_file(path: Path) -> Suite:
    if resolved(path / QUESTIONS).is_dir():
        allowed = f"a file; this is a store; each file in {path / QUESTIONS} has a suite"
        raise SpecError("suite", str(path), allowed)
    try:
        content = json.loads(resolved(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PlanError(
            f"there is no file {path}, and no suite of that name: `velodrome sample` writes a file "
            "of tasks, and `velodrome list suites` shows the names."
        ) from error
    except OSError as error:
        allowed = f"a file that can be read ({error.strerror}), or the name of a suite"
        raise SpecError("suite", str(path), allowed) from error
    except ValueError as error:
        allowed = f"a JSON file, such as `velodrome sample` writes ({error})"
        raise SpecError("suite", str(path), allowed) from error
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == QUESTION_KIND and isinstance(content.get("suite"), dict):
        return Suite.from_json(content["suite"])
    if kind == TASKS_KIND:
        return Suite(name=path.stem, tasks=tuple(load_specs(path)), protocol=DEFAULT_PROTOCOL)
    if kind != KIND:
        raise SpecError("suite", str(path), f"a file of the kind {KIND!r} or {TASKS_KIND!r}")
    return Suite.from_json(content)


def _check(name: str, value: object) -> None:
    if not isinstance(value, Suite) and not callable(value):
        raise VelodromeError(
            f"{name!r} is not a suite: expected a Suite or a function that returns one, found "
            f"{type(value).__name__}."
        )


suites: Registry[Suite | Callable[[], object]] = Registry(
    "suite", group="velodrome.suites", check=_check
)
for _name in FROZEN:
    suites.register(_name, functools.partial(frozen, _name))
suites.complete()
