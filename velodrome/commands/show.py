"""``velodrome show``: a task's spec, size, cost, and predicted time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import run_command
from velodrome.commands._tables import console, print_pairs
from velodrome.foundation.text import duration, short, size

if TYPE_CHECKING:
    from velodrome.taskgen.spec import TaskSpec

EXAMPLES = (
    "velodrome show tasks.json        # every task of a file",
    "velodrome show tasks.json:2      # the third one",
    "velodrome show demo:0 --device t4 --hours 0.5",
    """velodrome show '{"family": "mlp", "data": "digits", "batch_size": 32}'""",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(show, arguments, name="show", examples=EXAMPLES)


def show(
    task: Positional[Annotated[str, arg(metavar="TASK_OR_SPEC")]],
    /,
    *,
    device: Annotated[str, arg(metavar="PROFILE")] = "v100",
    hours: float = 1.0,
    json_only: Annotated[bool, arg(name="json")] = False,
) -> int:
    """Show a task: spec, parameters, FLOPs and bytes a step, memory, predicted time.

    Args:
      task: A file of tasks or of one spec, a suite, FILE_OR_SUITE:NUMBER_OR_LABEL, the label of a
        task of a suite, or the JSON of a spec.
      device: Device profile that predicts the time.
      hours: Count the steps that this many hours allow.
      json_only: Print the specs as JSON and nothing else.
    """
    from velodrome.commands._tasks import find_tasks  # noqa: PLC0415 - help needs no numpy

    specs = find_tasks(task)
    if json_only:
        content = [spec.to_json() for spec in specs]
        print(json.dumps(content[0] if len(content) == 1 else content, indent=1))
        return 0
    for number, spec in enumerate(specs):
        if number:
            console().print()
        _print(spec, velodrome.describe(spec, device=device, hours=hours))
    return 0


def _print(spec: TaskSpec, facts: Mapping[str, Any]) -> None:
    cost, profile = facts["cost"], facts["device"]
    source = "measured" if profile["measured"] else "not measured"
    print_pairs(
        [
            ("task", facts["label"]),
            ("hash", facts["hash"]),
            ("family", f"{spec.family} (version {spec.version})"),
            ("data", json.dumps(spec.data.to_json())),
            *_missing_hash(spec.data.name),
            ("batch size", spec.batch_size),
            *_computed(spec),
            *((f"  {name}", value) for name, value in vars(spec.config).items()),
            ("parameters", f"{cost['params']:,}"),
            ("FLOPs a step", short(cost["flops"])),
            ("bytes a step", short(cost["bytes"])),
            ("memory", size(cost["memory_bytes"])),
            (f"on {profile['name']} ({source})", ""),
            ("  seconds a step", duration(facts["predicted_seconds"])),
            (f"  steps in {facts['hours']:g} h", f"{facts['steps_allowed']:,}"),
            *(("  too expensive", excess) for excess in facts["over_budget"]),
        ]
    )


def _computed(spec: TaskSpec) -> Iterator[tuple[str, str]]:
    if spec.grad_accumulation > 1:
        yield "", f"in {spec.grad_accumulation} parts of {spec.part_size}, one after the other"
    if spec.precision.compute != "float32":
        yield "precision", f"{spec.precision.compute}, parameters in {spec.precision.params}"


def _missing_hash(name: str) -> Iterator[tuple[str, str]]:
    from velodrome.taskgen.data.verify import hash_problem  # noqa: PLC0415 - help needs no numpy

    if problem := hash_problem(velodrome.datasets.get(name)):
        yield "", f"{problem} `velodrome check data {name}` prints it."
