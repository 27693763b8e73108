"""What can be seen to be wrong with a suite before any of it is trained."""

from __future__ import annotations

from velodrome.foundation.errors import PlanError, UnknownNameError
from velodrome.optimizers.registry import optimizers
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.text import count_windows
from velodrome.taskgen.family import ImageView
from velodrome.taskgen.spec import TaskSpec


def check_suite(suite: Suite) -> list[str]:
    """Looks for what would only be met while the suite is run, or in its report.

    Args:
      suite: The suite.

    Returns:
      Sentences that a user should read before the run: the baseline is not run.

    Raises:
      UnknownNameError: There is no such baseline; the message has the closest names.
      PlanError: The batch of a task is larger than its train split.
    """
    _check_batches(suite)
    baseline = suite.protocol.baseline
    if baseline in suite.optimizers:
        return []
    try:
        optimizers.get(baseline)
    except UnknownNameError as error:
        raise UnknownNameError(
            "optimizer (the baseline of the protocol)", baseline, optimizers.names()
        ) from error
    with_it = ",".join([*suite.optimizers, baseline])
    return [
        f"The baseline {baseline} is not among the optimizers ({', '.join(suite.optimizers)}), so "
        f"the report will have no speedups. To run it too: --optimizers {with_it}"
    ]


def train_examples(task: TaskSpec) -> int | None:
    """Returns how many examples the train split of a task has; None if that is not known.

    Nothing is loaded.

    Args:
      task: The task's spec.

    Raises:
      DataError: The text is too short for one sequence.
    """
    info = datasets.get(task.data.name).info
    size = info.split_sizes.get("train")
    if size is None:
        return None
    view = task.family_object.view(task.config, info)
    if isinstance(view, ImageView) or info.layout == "examples":
        return size
    return count_windows(size, view.length, f"the train split of {info.name!r}")


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
