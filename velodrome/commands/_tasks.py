"""Find the tasks that a user's text stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping

from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError, which_object
from velodrome.foundation.files import resolved
from velodrome.foundation.place import Place
from velodrome.foundation.registry import member_of
from velodrome.foundation.source import load_file
from velodrome.suites.catalog import is_path, load_suite, suites
from velodrome.suites.published.tasks import refuse_missing
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec


def find_tasks(text: str) -> list[TaskSpec]:
    """Return the task specs that ``text`` stands for.

    Args:
      text: A file of tasks or of one spec, a suite's name, one task of either
        (``tasks.json:2``, counted from 0, or ``demo:LABEL``), the label of a task of a built-in
        suite, the JSON of a spec, or ``path/to/file.py:object``.

    Raises:
      UnknownNameError: No task has that name.
      SpecError: A spec is wrong.
      PlanError: It is a published task that is not implemented.
    """
    if text.lstrip().startswith("{"):
        return [TaskSpec.from_json(_parse(text, "the text given"))]
    if text.endswith(".py"):
        raise which_object(text)
    if (place := Place.of(text)) and place.is_file:
        return [_from_python(place)]
    if _is_collection(text):
        return _members(text)
    collection, _, member = text.rpartition(":")
    if _is_collection(collection):
        return [_one(_members(collection), member, collection)]
    known = {task.label: task for name in suites.names() for task in _usable_members(name)}
    if text in known:
        return [known[text]]
    refuse_missing(text)
    if text in families:
        raise VelodromeError(
            f"{text} is a family; a task has data and a batch size besides: {_example(text)}"
        )
    names = [*known, *suites.names(), *families.names()]
    raise UnknownNameError("task, file of tasks, or suite", text, names)


def find_task(text: str) -> TaskSpec:
    """Return the one task spec that ``text`` stands for; see :func:`find_tasks`.

    Raises:
      VelodromeError: It stands for several.
    """
    found = find_tasks(text)
    if len(found) != 1:
        raise VelodromeError(
            f"{text} holds {len(found)} tasks; choose one by number or label, such as {text}:0."
        )
    return found[0]


def _example(family: str) -> str:
    """Return the command that shows a task of a family, on built-in data if there are any."""
    kind = families.get(family).data_kind
    found = {name: datasets.get(name).info for name in datasets.names()}
    fitting = [name for name, info in found.items() if info.kind == kind]
    order = ("built-in", "stand-in")  # then what has to be prepared or added first
    here = [name for each in order for name in fitting if found[name].provenance == each]
    spec = json.dumps({"family": family, "data": [*here, *fitting][0], "batch_size": 32})
    return f"velodrome show '{spec}'"


def _is_collection(name: str) -> bool:
    """Return whether it names a suite, a part of one such as ``velodrome-83/mlp``, or a file."""
    if name.endswith(".json") or name in suites:
        return True
    # With a colon it may also be one task of a file: it is a file only if there is one.
    return bool(name) and (resolved(name).is_file() if ":" in name else is_path(name))


def _members(name: str) -> list[TaskSpec]:
    if name.endswith(".json") or (name not in suites and resolved(name).is_file()):
        try:
            content = _parse(resolved(name).read_text(encoding="utf-8"), name)
        except FileNotFoundError as error:
            raise VelodromeError(
                f"there is no file {name} of tasks; `velodrome sample` writes one."
            ) from error
        except OSError as error:
            raise SpecError("file", name, f"a file that can be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise SpecError("file", name, f"text in UTF-8 ({error})") from error
        if "kind" not in content:  # a bare spec, as `velodrome show --json` prints it
            return [TaskSpec.from_json(content)]
    return list(load_suite(name).tasks)


def _usable_members(suite: str) -> list[TaskSpec]:
    """Return a suite's tasks; none if another package's suite cannot be loaded."""
    try:
        return _members(suite)
    except VelodromeError:
        return []


def _one(tasks: list[TaskSpec], member: str, collection: str) -> TaskSpec:
    if member.removeprefix("-").isdigit():
        if 0 <= int(member) < len(tasks):
            return tasks[int(member)]
        raise SpecError("task number", int(member), f"from 0 to {len(tasks) - 1} in {collection}")
    for task in tasks:
        if member == task.label or (len(member) >= 6 and task.spec_hash.startswith(member)):
            return task
    raise UnknownNameError(f"task in {collection}", member, [task.label for task in tasks])


def _from_python(place: Place) -> TaskSpec:
    found = member_of(load_file(place.where), place)
    if not isinstance(found, TaskSpec):
        raise VelodromeError(
            f"{place.attribute} in {place.where} is no task: expected a TaskSpec, found "
            f"{type(found).__name__}."
        )
    return found


def _parse(text: str, where: str) -> Mapping[str, object]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SpecError("spec", where, f"JSON ({error})") from error
    if not isinstance(content, dict):
        raise SpecError("spec", where, "a JSON object")
    return content
