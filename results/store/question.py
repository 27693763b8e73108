"""`Question`: what a store was asked for: a suite under a protocol, and the runs that answer it.

Questions are numbered in the order in which they were last asked. Each is one file, written
atomically. Which runs are there, the shards say themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_json
from velodrome.results.store.json_files import SCHEMA, Report, check_schema, checked, read_json
from velodrome.results.store.plan import Plan
from velodrome.results.store.records import Manifest, ProtocolRecord, SuiteRecord

FOLDER = "questions"
KIND = "velodrome-question"


@dataclass(frozen=True)
class Question:
    """A question, as its file has it.

    Attributes:
      manifest: Suite, protocol, data; and versions and device when it was asked first.
      suite: The whole suite.
      plan: The runs that are asked for, and the shards that have them.
    """

    path: Path
    manifest: Manifest
    suite: SuiteRecord
    plan: Plan

    @property
    def name(self) -> str:
        return self.path.stem


def paths(directory: Path) -> list[Path]:
    """Return the files of all questions of a store, the last one asked last."""
    return sorted(directory.glob(f"{FOLDER}/{'[0-9]' * 4}-*.json"))


def path_of(directory: Path, key: str) -> Path | None:
    """Return the file of the question with that key, or None."""
    return next(
        (path for path in reversed(paths(directory)) if path.stem.endswith(f"-{key}")), None
    )


def chosen(directory: Path, asked: list[Path], name: str | int | None) -> Path:
    """Return the file of a question by its name, number or key; without one, the last.

    Raises:
      StoreError: There is no such question.
    """
    if name is None:
        return asked[-1]
    wanted = str(name).zfill(4)
    found = [path for path in asked if wanted in (path.stem, *path.stem.split("-"))]
    if not found:
        names = ", ".join(path.stem for path in asked)
        raise StoreError(f"{directory} has no question {name}; it has {names}")
    return found[-1]


def key_of(manifest: Manifest, plan: Plan) -> str:
    """Return 8 hexadecimal digits that stand for what is asked."""
    cells = [
        [cell.id, cell.horizon, [[lane.seed, dict(lane.hyperparameters)] for lane in cell.lanes]]
        for cell in plan.cells
    ]
    mode = manifest.get("baseline_mode", "exhaustive")
    suite = manifest["suite"]["hash"], manifest["protocol_hash"]
    return content_hash([*suite, mode, cells])[:8]


def next_path(directory: Path, key: str) -> Path:
    """Return the file that the question with that key gets when it is asked now."""
    last = paths(directory)[-1:]
    number = 1 + max((int(path.stem.partition("-")[0]) for path in last), default=0)
    return directory / FOLDER / f"{number:04}-{key}.json"


def write(question: Question) -> Question:
    """Write a question, and return it with the hash of its plan."""
    manifest: Manifest = {**question.manifest, "plan_hash": question.plan.hash}
    content = {
        "schema": SCHEMA,
        "kind": KIND,
        "manifest": manifest,
        "suite": question.suite,
        "plan": question.plan.to_json(),
    }
    atomic_write_json(question.path, content)
    return Question(question.path, manifest, question.suite, question.plan)


def read(path: Path, *, report: Report | None = None) -> Question:
    """Read a question.

    With ``report``, damaged facts that nothing depends on are left out and reported.

    Raises:
      StoreError: It is damaged or has another schema, or its plan is not the one that it had.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise StoreError(f"{path} does not belong to a velodrome store")
    check_schema(content.get("schema"), what=str(path))
    return read_parts(path, content, report=report)


def read_parts(path: Path, content: Mapping[str, Any], *, report: Report | None) -> Question:
    """Read the parts of a question: manifest, suite and plan."""
    said = content.get("manifest")
    manifest = check_manifest(said, path, report=report)
    suite = checked(SuiteRecord, content.get("suite"), path, report=report)
    try:
        plan = Plan.from_json(content.get("plan"))
        recorded = manifest.get("plan_hash")
        if recorded is not None and plan.hash != recorded:
            raise StoreError(f"its hash is {plan.hash[:12]}, the plan_hash is {recorded[:12]}")
    except StoreError as problem:
        raise StoreError(f"{path} has not the plan that it was made with: {problem}") from problem
    return Question(path, manifest, suite, plan)


def check_manifest(manifest: object, path: Path, *, report: Report | None = None) -> Manifest:
    """Return a manifest if it says of which suite and protocol it is.

    Raises:
      StoreError: It does not.
    """
    if isinstance(manifest, Mapping) and "protocol" in manifest:
        checked(ProtocolRecord, manifest["protocol"], path)  # what results mean depends on all
    return checked(Manifest, manifest, path, report=report)


def how_without(directory: Path, path: Path) -> str:
    """Return what to do if a question cannot be read and others are there; empty if none are."""
    names = [other.stem for other in reversed(paths(directory)) if other != path]
    if not names:
        return ""
    return (
        f"or read another question (--question; there are {', '.join(names)}), or delete "
        f"{path.name}: all curves stay, and the command that asked it asks it again"
    )


def all_of(directory: Path) -> list[Question]:
    """Return all questions that can be read, the last one asked first."""
    found: list[Question] = []
    for path in reversed(paths(directory)):
        try:
            found.append(read(path))
        except StoreError:
            continue  # it is named where it is asked for
    return found
