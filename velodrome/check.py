"""The contract tests, for everything registered here and for a user's own contributions."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from velodrome.foundation.errors import VelodromeError


@dataclass(frozen=True)
class CheckResult:
    """How one check of a contract went.

    Attributes:
      name: Name of the check.
      demand: What it asks for, in a sentence.
      problem: What was found instead; empty if the check passed.
      seconds: How long it took.
    """

    name: str
    demand: str
    problem: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problem


def check_task(spec: Any) -> list[CheckResult]:
    """Puts a task through the contract of tasks, on made-up batches of the right shape.

    Args:
      spec: A :class:`velodrome.TaskSpec`.

    Returns:
      A result for each check.
    """
    from velodrome.contracts import task as task_contract

    return run_checks(task_contract.CHECKS, task_contract.prepare(spec))


def check_family(family: Any) -> list[CheckResult]:
    """Puts a task family through the contract of families, and tasks of it through theirs.

    Args:
      family: A :class:`velodrome.Family`, a registered name, or ``"path/to/file.py:object"``.

    Returns:
      A result for each check.
    """
    from velodrome.contracts import family as family_contract

    with _registered_family(family) as found:
        return run_checks(family_contract.CHECKS, family_contract.Subject(found))


def check_optimizer(optimizer: Any) -> list[CheckResult]:
    """Puts an optimizer through the contract of optimizers.

    Args:
      optimizer: A :class:`velodrome.OptimizerSpec`, a name, an import path such as
        ``"optax:lion"``, or ``"path/to/file.py:object"``.

    Returns:
      A result for each check.
    """
    from velodrome.contracts.optimizer import CHECKS
    from velodrome.optimizers.registry import optimizers

    spec = optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    return run_checks(CHECKS, spec)


def run_checks(checks: Mapping[str, Callable[[Any], None]], subject: Any) -> list[CheckResult]:
    """Runs named checks; each raises if something is wrong, and all of them are run.

    Args:
      checks: Name to check; the first line of its docstring says what it asks for.
      subject: What is passed to each.
    """
    results = []
    for name, check in checks.items():
        start = time.perf_counter()
        problem = ""
        try:
            check(subject)
        except Exception as error:  # a contribution may raise anything; the table shows it
            if os.environ.get("VELODROME_TRACEBACK", "0") not in ("", "0"):
                raise
            problem = _describe(error)
        demand = (check.__doc__ or name).strip().splitlines()[0]
        results.append(CheckResult(name, demand, problem, time.perf_counter() - start))
    return results


def _describe(error: Exception) -> str:
    if isinstance(error, VelodromeError):
        return str(error)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"


@contextlib.contextmanager
def _registered_family(family: Any) -> Iterator[Any]:
    """Makes specs of the family possible while it is checked, whatever it was given as."""
    from velodrome.taskgen.family import Family
    from velodrome.taskgen.registry import families

    found = families.get(family) if isinstance(family, str) else family
    if not isinstance(found, Family):
        raise VelodromeError(
            f"expected a velodrome.Family, a name or file.py:object, found {found!r:.80}."
        )
    if found.name in families:
        if families.get(found.name) is not found:
            raise VelodromeError(
                f"another family is registered as {found.name!r}; choose another name."
            )
        yield found
        return
    with families.temporarily(found.name, found):
        yield found
