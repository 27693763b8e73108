"""Before a run: whether the corpus metrics that its protocol asks for can be computed."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator

from velodrome.foundation.errors import PlanError, VelodromeError
from velodrome.suites.suite import Suite
from velodrome.taskgen.spec import TaskSpec


def check_corpus_metrics(suite: Suite, *, asked: bool, dry_run: bool = False) -> list[str]:
    """Find tasks without corpus metrics, and what those of the others miss on this machine.

    Args:
      suite: Where its protocol has no ``corpus_examples``, there is nothing to check.
      asked: Whether the user asked for corpus metrics, and not only the suite.
      dry_run: Say what is missing, instead of refusing the run.

    Returns:
      Sentences that a user should read before the run.

    Raises:
      PlanError: No task has corpus metrics, though the user asked for them, or a library or a
        vocabulary that they need is missing.
    """
    if not suite.protocol.corpus_examples:
        return []
    without = [task for task in suite.tasks if not has_corpus_metrics(task)]
    families = ", ".join(sorted({task.family for task in without}))
    if asked and len(without) == len(suite.tasks):
        raise PlanError(
            f"corpus_examples: got {suite.protocol.corpus_examples:,}, but no task of {suite.name} "
            f"has corpus metrics ({families}); leave it out (--corpus-examples)."
        )
    missing = list(dict.fromkeys(_missing(suite)))
    if missing and not dry_run:
        raise PlanError(f"{missing[0]} To run without corpus metrics: --corpus-examples 0")
    notes = [line[0].upper() + line[1:] for line in missing]
    if asked and without:
        notes += [f"--corpus-examples changes nothing for tasks without such metrics: {families}."]
    if dry_run and len(without) < len(suite.tasks):
        notes += ["The predicted seconds leave out the corpus metrics, such as BLEU."]
    return notes


def has_corpus_metrics(task: TaskSpec) -> bool:
    """Whether the family of a task has metrics of all held-out examples together."""
    family = task.family_object
    if family.build is None:
        return family.corpus_metrics is not None
    # It imports jax, which other plans do without.
    from velodrome.taskgen.build import build  # noqa: PLC0415

    return build(task).corpus is not None


def _missing(suite: Suite) -> Iterator[str]:
    """Yield a sentence for each task whose corpus metrics cannot be computed here."""
    for task in suite.tasks:
        declared = task.family_object.corpus_metrics
        if declared is None or declared.check is None:
            continue
        check = declared.check
        try:
            if isinstance(check, str):
                check = pkgutil.resolve_name(check)
            check(task.dataset)
        except VelodromeError as error:
            yield f"the corpus metrics of {task.label} cannot be computed here: {error}"
