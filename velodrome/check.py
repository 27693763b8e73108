"""The contract tests, for everything registered here and for users' contributions."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

from velodrome.contracts import data as data_contract
from velodrome.contracts import family as family_contract
from velodrome.contracts import optimizer as optimizer_contract
from velodrome.contracts import task as task_contract
from velodrome.foundation.errors import VelodromeError, wants_traceback
from velodrome.foundation.streams import is_terminal
from velodrome.optimizers.probe import described
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.family import Family
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class CheckResult:
    """How one check of a contract went.

    Attributes:
      demand: What it asks for, in a sentence.
      problem: What was found instead; empty if the check passed.
    """

    name: str
    demand: str
    problem: str
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.problem


def check_task(spec: TaskSpec) -> list[CheckResult]:
    """Put a task through the contract of tasks, on its data and on made-up batches.

    Examples:
      >>> spec = velodrome.sample(1, seed=0, family="mlp", data="built-in")[0]  # doctest: +SKIP
      >>> checks = velodrome.check_task(spec)  # doctest: +SKIP
      >>> all(check.passed for check in checks)  # doctest: +SKIP
      True
    """
    return run_checks(task_contract.CHECKS, task_contract.prepare(spec))


def check_data(dataset: Dataset | str) -> list[CheckResult]:
    """Load a data set, and compare it with everything that it declares.

    Args:
      dataset: A data set, a registered name, or ``"path/to/file.py:object"``.

    Examples:
      >>> checks = velodrome.check_data("digits")
      >>> all(check.passed for check in checks)
      True
    """
    found = datasets.get(dataset) if isinstance(dataset, str) else dataset
    return run_checks(data_contract.CHECKS, data_contract.Subject(found))


def check_family(family: Family | str) -> list[CheckResult]:
    """Put a task family through the contract of families, and tasks of it through theirs.

    Args:
      family: A family, a registered name, or ``"path/to/file.py:object"``.

    Examples:
      >>> checks = velodrome.check_family("mlp")  # doctest: +SKIP
      >>> all(check.passed for check in checks)  # doctest: +SKIP
      True
    """
    with _registered(family) as found:
        return run_checks(family_contract.CHECKS, family_contract.Subject(found))


def check_optimizer(optimizer: OptimizerSpec | str) -> list[CheckResult]:
    """Put an optimizer through the contract of optimizers.

    Args:
      optimizer: A spec, a name, an import path such as ``"optax:lion"``, or
        ``"path/to/file.py:object"``.

    Examples:
      >>> checks = velodrome.check_optimizer("optax:lion")  # doctest: +SKIP
      >>> all(check.passed for check in checks)  # doctest: +SKIP
      True
    """
    spec = optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    return run_checks(optimizer_contract.CHECKS, spec)


def run_checks(
    checks: Mapping[str, Callable[[Subject], None]], subject: Subject
) -> list[CheckResult]:
    """Run all checks on ``subject``; each raises if something is wrong.

    Args:
      checks: Name -> check; the first line of its docstring says what it asks for.
    """
    results = []
    with _announced() as say:
        for name, check in checks.items():
            say(name)
            start = time.perf_counter()
            problem = ""
            try:
                with numerics():  # as in a run
                    check(subject)
            except Exception as error:  # a contribution may raise anything; the table shows it
                if wants_traceback():
                    raise
                problem = _describe(error)
            demand = (check.__doc__ or name).strip().splitlines()[0]
            results.append(CheckResult(name, demand, problem, time.perf_counter() - start))
    return results


@contextlib.contextmanager
def _announced() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows on a terminal which check runs: some take a minute."""
    if not is_terminal(sys.stderr):
        yield lambda name: None
        return
    with Console(stderr=True, emoji=False).status("checking") as status:
        yield lambda name: status.update(f"checking: {name}")


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, VelodromeError) else described(error).splitlines()[0]


@contextlib.contextmanager
def _registered(family: Family | str) -> Iterator[Family]:
    """Register the family during its checks, so that specs of it can be made."""
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
