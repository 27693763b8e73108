"""The suites by name: built in, from an entry point, or from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import PlanError, SpecError, VelodromeError
from velodrome.foundation.registry import Registry
from velodrome.suites.protocol import Protocol
from velodrome.suites.slices import part_of_suite
from velodrome.suites.suite import KIND, Suite
from velodrome.taskgen.specfile import KIND as TASKS_KIND
from velodrome.taskgen.specfile import load_specs

LISTS = Path(__file__).parent / "lists"

#: The protocol of a file of tasks, which says nothing about one.
DEFAULT_PROTOCOL = Protocol(steps=2_000, seeds=3, baseline_multiple=5)


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
    """40 tasks that meta-trained weights are judged on; `scripts.choose_heldout` says how they came."""
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
