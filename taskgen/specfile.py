"""Files of task specs, which ``velodrome sample -o tasks.json`` writes and the runner reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from velodrome.foundation.errors import SpecError, unknown_key
from velodrome.foundation.files import atomic_write_json, resolved
from velodrome.taskgen.spec import TaskSpec

SCHEMA = 1
KIND = "velodrome-tasks"
_KEYS = ("spec", "hash", "recorded")


def save_specs(
    path: str | os.PathLike[str],
    specs: Sequence[TaskSpec],
    *,
    recorded: Sequence[Mapping[str, object]] | None = None,
) -> None:
    """Write specs to a JSON file, atomically.

    ``recorded`` has, for each spec, what is known beside it (cost, predicted seconds, versions). It
    is not part of a spec and not in its hash.

    Raises:
      SpecError: ``specs`` has something else than specs.

    Examples:
      >>> specs = velodrome.sample(2, seed=0, family="mlp", data="built-in")
      >>> velodrome.save_specs("tasks.json", specs)
    """
    if not all(isinstance(spec, TaskSpec) for spec in specs):
        raise SpecError(
            "specs", _glimpse(specs), "a list of task specs, after the path of the file"
        )
    notes = [{}] * len(specs) if recorded is None else recorded
    tasks = [
        {
            "spec": spec.to_json(),
            "hash": spec.spec_hash,
            **({"recorded": dict(note)} if note else {}),
        }
        for spec, note in zip(specs, notes, strict=True)
    ]
    atomic_write_json(path, {"schema": SCHEMA, "kind": KIND, "tasks": tasks})


def load_specs(path: str | os.PathLike[str]) -> list[TaskSpec]:
    """Read the specs of a JSON file; check each, and its hash where one is given.

    Raises:
      SpecError: The file is missing, is no JSON, is of another kind, or holds a wrong spec.

    Examples:
      >>> specs = velodrome.sample(2, seed=0, family="mlp", data="built-in")
      >>> velodrome.save_specs("tasks.json", specs)
      >>> velodrome.load_specs("tasks.json") == specs
      True
    """
    content = _read(resolved(path))
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise SpecError(str(path), _glimpse(content), f'a JSON object with "kind": "{KIND}"')
    if content.get("schema") != SCHEMA:
        raise SpecError(f"{path}: schema", content.get("schema"), f"{SCHEMA}")
    entries = content.get("tasks")
    if not isinstance(entries, list):
        raise SpecError(f"{path}: tasks", entries, "a list")
    return [_entry(f"{path}: tasks[{index}]", entry) for index, entry in enumerate(entries)]


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise SpecError("file", str(path), f"a file that can be read ({error.strerror})") from error
    except ValueError as error:  # also what undecodable bytes raise
        raise SpecError("file", str(path), f"a JSON text ({error})") from error


def _entry(where: str, entry: object) -> TaskSpec:
    if not isinstance(entry, dict) or not isinstance(entry.get("spec"), dict):
        raise SpecError(where, _glimpse(entry), 'an object with the key "spec"')
    for key in entry:
        if key == "target":  # which would be lost in silence
            raise SpecError(f"{where}.target", entry[key], "in the file of a suite, not of tasks")
        if key not in _KEYS:
            raise unknown_key(where, key, _KEYS)
    try:
        spec = TaskSpec.from_json(entry["spec"])
    except SpecError as error:
        raise SpecError(f"{where}.{error.field}", error.value, error.allowed) from error
    if entry.get("hash", spec.spec_hash) != spec.spec_hash:
        raise SpecError(
            f"{where}.hash",
            entry["hash"],
            f"{spec.spec_hash}, the hash of the spec beside it; delete the hash if you edited the "
            "spec",
        )
    return spec


def _glimpse(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
