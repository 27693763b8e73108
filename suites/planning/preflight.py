"""Before a run: other data for a suite, what its data need, and what can be seen to be wrong."""

from __future__ import annotations

import dataclasses

from velodrome.foundation.errors import PlanError, SpecError, UnknownNameError, VelodromeError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.suites.catalog import load_suite, suites
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.info import kind_of
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.resident import predicted_bytes, resident_limit
from velodrome.taskgen.data.standin.catalog import LARGE, stand_in_name
from velodrome.taskgen.data.verify import verify
from velodrome.taskgen.data.view import count_examples
from velodrome.taskgen.spec import TaskSpec

DATA_CHOICES = ("stand-in", "built-in")

#: Published data sets, and the built-in real data that can take their place: some of the same
#: images; and other text, in bytes as well.
BUILT_IN = {"mnist": "mnist5k", "lm1b_bytes": "kjv"}


def with_data(suite: Suite, choice: str | None) -> Suite:
    """Replace the published data sets of a suite's tasks.

    The replacement is part of each task's spec, so results on it never share a cell with results
    on the original data, and the suite's name says it. Targets are left out. Tasks on built-in or
    generated data stay as they are.

    Args:
      choice: ``"stand-in"``: a generated data set replaces every published one. ``"built-in"``:
        real data inside an installed package do. None: nothing is replaced.

    Raises:
      SpecError: The choice is unknown.
      PlanError: No task of the suite is on published data, or built-in data cannot replace all.
    """
    if choice is None:
        return suite
    if choice not in DATA_CHOICES:
        raise SpecError("data", choice, f"one of {', '.join(DATA_CHOICES)}")
    published = [task for task in suite.tasks if _is_published(task.data.name)]
    if not published:
        raise PlanError(
            f"no task of {suite.name} is on published data, so there is nothing to put "
            f"{choice} data in the place of; leave out --data."
        )
    unserved = sorted({task.data.name for task in published} - set(BUILT_IN))
    if choice == "built-in" and unserved:
        raise PlanError(
            f"built-in data can serve for {', '.join(BUILT_IN)} only, but {suite.name} has tasks "
            f"on {', '.join(unserved)} too; run only those tasks, or use --data stand-in."
        )
    tasks = tuple(
        _on(task, choice) if _is_published(task.data.name) else task for task in suite.tasks
    )
    name = f"{suite.name} on {choice} data"
    return dataclasses.replace(suite, name=name, tasks=tasks, targets={})


def _is_published(name: str) -> bool:
    return name in datasets and datasets.get(name).info.provenance == "real"


def _on(task: TaskSpec, choice: str) -> TaskSpec:
    if choice == "stand-in":
        return _on_stand_in(task)
    return _moved(task, BUILT_IN[task.data.name])


def _on_stand_in(task: TaskSpec) -> TaskSpec:
    """Return a task on the stand-in of its data: on the large one if the other is too small."""
    name = stand_in_name(task.data.name)
    if name not in datasets:
        raise PlanError(
            f"the data set {task.data.name!r} of task {task.label} has no stand-in: none is "
            f"registered as {name!r}."
        )
    moved = _moved(task, name)
    if name + LARGE not in datasets or _has_room(moved):
        return moved
    return _moved(task, name + LARGE)


def _moved(task: TaskSpec, name: str) -> TaskSpec:
    # Keep the label: one that was made of the hash would change with it.
    data = dataclasses.replace(task.data, name=name)
    return dataclasses.replace(task, data=data, name=task.label)


def _has_room(task: TaskSpec) -> bool:
    """Return whether the data of a task have examples of its size, and enough for a batch."""
    info, count = task.dataset.info, train_examples(task)
    enough = count is None or count >= task.batch_size
    return enough and kind_of(info.kind).holds(info, task.view)


def suites_by_data() -> tuple[dict[str, list[str]], list[str]]:
    """Find the registered suites that have tasks on each data set.

    Returns:
      ``{data set: [suite, ...]}``, and a line about each suite that cannot be read.
    """
    needed: dict[str, list[str]] = {}
    problems = []
    for name in suites.names():
        try:
            used = {task.data.name for task in load_suite(name).tasks}
        except VelodromeError as error:
            problems.append(f"suite {name}: {error}")
            continue
        for data in sorted(used):
            needed.setdefault(data, []).append(name)
    return needed, problems


def data_bytes(suite: Suite) -> dict[str, int]:
    """Predict the memory that the data of each task take, by the task's hash.

    Data that do not fit on the device stay in their files, and count as nothing.
    """
    limit = resident_limit()
    found = {}
    for task in suite.tasks:
        view = task.view
        size = predicted_bytes(task.dataset.info, view, task.data.variation)
        found[task.hash] = size if size <= limit else 0
    return found


def check_data(suite: Suite) -> None:
    """Compare the data sets of a suite whose loaders verify nothing with what they declare.

    Raises:
      DataError: One is not what it declares; the message names the first bad example.
    """
    for dataset in dict.fromkeys(task.dataset for task in suite.tasks):
        # Large published data have been verified when they were prepared; processes that train
        # on them compare the hash.
        if not dataset.verified:
            verify(dataset)


def check_suite(suite: Suite) -> list[str]:
    """Find problems that would otherwise appear during the run, or in its report.

    Returns:
      Sentences that a user should read before the run, such as that the baseline is not run.

    Raises:
      UnknownNameError: There is no such baseline; the message has the closest names.
      PlanError: The batch of a task is larger than its train split.
    """
    _check_batches(suite)
    asked = [optimizers.get(name) for name in suite.optimizers]
    notes = [note for optimizer in asked if (note := static_note(optimizer))]
    steps = suite.protocol.steps
    notes += [note for optimizer in asked if (note := optimizer.length_note(steps))]
    baseline = suite.protocol.baseline
    if baseline in suite.optimizers:
        return notes
    try:
        optimizers.get(baseline)
    except UnknownNameError as error:
        raise UnknownNameError(
            "optimizer (the baseline of the protocol)", baseline, optimizers.names()
        ) from error
    with_it = ",".join([*suite.optimizers, baseline])
    return [
        *notes,
        f"The baseline {baseline} is not among the optimizers ({', '.join(suite.optimizers)}), so "
        f"the report will have no speedups. To run it too: --optimizers {with_it}",
    ]


def static_note(optimizer: OptimizerSpec) -> str:
    """Return a sentence about a sweep that takes a program for each rate; else the empty string."""
    if "learning_rate" not in optimizer.static or "learning_rate" not in optimizer.grid:
        return ""
    return (
        f"The learning rate of {optimizer.label} is static, because it cannot be traced or is "
        "declared so: each rate is compiled as a program of its own."
    )


def train_examples(task: TaskSpec) -> int | None:
    """Count the examples of a task's train split without loading it; None if that is not known.

    Raises:
      DataError: The text is too short for one sequence.
    """
    return count_examples(task.dataset.info, task.view, "train")


def _check_batches(suite: Suite) -> None:
    too_large = []
    for task in suite.tasks:
        examples = train_examples(task)
        if examples is not None and task.batch_size > examples:
            too_large.append((task, examples))
    if too_large:
        task, examples = too_large[0]
        others = len(too_large) - 1
        also = f" (and likewise for {others} more of its tasks)" if others else ""
        raise PlanError(
            f"the task {task.label} has a batch of {task.batch_size:,} examples, but the train "
            f"split of {task.data.name!r} as it sees it has {examples:,}{also}; choose a "
            f"batch_size of at most {examples}."
        )
