"""Train a task once, in memory, and return its curve."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import optax
import pandas as pd

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.suites.training.jax_config import numerics
from velodrome.suites.training.lanes import LaneLoop
from velodrome.suites.training.shard import CompiledTask
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.verify import hash_problem
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task


def train(
    task: Task | TaskSpec,
    optimizer: optax.GradientTransformation | str,
    *,
    steps: int,
    seed: int = 0,
    eval_every: int = 10,
    needs: Iterable[str] = ("value",),
    **hyperparameters: object,
) -> pd.DataFrame:
    """Train a task once and return its curve; nothing is stored.

    The numbers are those that a suite with these settings would get for the seed.

    Args:
      task: A task, or the spec of one.
      optimizer: An optax transformation such as ``optax.adam(1e-3)``, or a name as the optimizer
        registry takes them, such as ``"adam"`` or ``"optax:lion"``.
      steps: Updates, a multiple of ``eval_every``.
      seed: Determines initial parameters, batches and all other randomness.
      eval_every: Updates between evaluations (held out: five times as many).
      needs: Which of ``value`` (the loss), ``grad``, ``value_fn``, ``grad_fn`` and ``key`` the
        transformation's update takes as keywords; ignored if the optimizer is a name.
      **hyperparameters: For an optimizer given by its name, such as ``learning_rate=1e-3``.

    Returns:
      One row for each evaluated step (the index), and columns "train loss", "heldout loss" and
      the other metrics of the family, such as "heldout accuracy"; held-out values are missing
      where they were not measured. The curve of a run that diverges ends before the step of
      divergence, with a `UserWarning` that names the step.

    Raises:
      SpecError: The task or the optimizer is something else, a setting is out of range, or a
        hyperparameter is unknown.
      UnknownNameError: There is no optimizer of that name.
    """
    spec = _task_spec(task)
    if problem := hash_problem(datasets.get(spec.data.name)):
        how = "`velodrome.check_data` has the hashes to declare; `velodrome.run` needs them."
        warnings.warn(f"{problem} {how}", UserWarning, stacklevel=2)
    chosen = _optimizer_spec(optimizer, needs, hyperparameters)
    protocol = Protocol(
        steps=steps,
        seeds=1,
        baseline_multiple=1,
        eval_every=eval_every,
        heldout_every=5 * eval_every,
    )
    with numerics():
        compiled = CompiledTask(Suite(spec.label, (spec,), protocol, (chosen.name,)), 0)
        lane_batch = compiled.lane_batch(chosen, steps, [seed], [hyperparameters], [0])
        loop = LaneLoop(compiled.data, [lane_batch], horizon=steps)
        loop.run(lambda _: True)
    diverged = loop.diverged_at()
    for step in diverged.values():  # of the one lane
        warnings.warn(
            f"the run diverged at step {step} of {steps}: its loss is no longer a finite number, "
            "and its curve ends before. A lower learning rate may help.",
            UserWarning,
            stacklevel=2,
        )
    return _table(loop.buffer.columns(diverged))


def _task_spec(task: object) -> TaskSpec:
    spec = task.spec if isinstance(task, Task) else task
    if not isinstance(spec, TaskSpec):
        raise SpecError("task", task, "a velodrome.Task or a velodrome.TaskSpec")
    return spec


def _optimizer_spec(
    optimizer: object, needs: Iterable[str], hyperparameters: Mapping[str, object]
) -> OptimizerSpec:
    if isinstance(optimizer, str):
        return optimizers.get(optimizer)
    # Transformations of optax share no class, only their methods.
    if not all(callable(getattr(optimizer, method, None)) for method in ("init", "update")):
        name = getattr(optimizer, "__name__", "")
        call = f" (call {name} first, as in {name}(1e-3))" if callable(optimizer) and name else ""
        raise SpecError(
            "optimizer",
            optimizer,
            f'an optax transformation{call}, or the name of an optimizer, such as "adam"',
        )
    if hyperparameters:
        raise SpecError(
            "hyperparameters",
            sorted(hyperparameters),
            "left out: they are for an optimizer given by its name, and this one is made already",
        )
    return OptimizerSpec(
        name="given",
        label="given",
        factory=lambda: cast(optax.GradientTransformation, optimizer),
        needs=frozenset(needs),
    )


def _table(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "step": columns["step"],
            "name": [
                f"{split} {metric}"
                for split, metric in zip(columns["split"], columns["metric"], strict=True)
            ],
            "value": columns["value"],
        }
    )
    return rows.pivot(index="step", columns="name", values="value").rename_axis(columns=None)
