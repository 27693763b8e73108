"""Train a task once, in memory, and return its curve."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import cast

import jax
import numpy as np
import optax
import pandas as pd

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.probe import required_keywords
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec, is_transformation, required_arguments
from velodrome.suites.planning.corpus_check import check_corpus_metrics
from velodrome.suites.planning.spread import Spread
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.lanes import LaneLoop
from velodrome.suites.training.placement import Placement
from velodrome.taskgen.data.verify import hash_problem
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task


def train(
    task: Task | TaskSpec,
    optimizer: optax.GradientTransformation | str,
    *,
    steps: int,
    seed: int = 0,
    eval_every: int = 10,
    corpus_examples: int = 0,
    needs: Iterable[str] | None = None,
    devices: int | str | None = None,
    sharding: str | None = None,
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
      corpus_examples: Held-out examples that the family's corpus metrics are computed on, such as
        BLEU; see `velodrome.Protocol`. Default: none, without these metrics.
      needs: Which of ``value`` (the loss), ``grad``, ``value_fn``, ``grad_fn`` and ``key`` the
        transformation's update takes as keywords. Default: ``value``, and what it cannot do
        without; ignored if the optimizer is a name.
      devices: How many devices train together, or ``"all"`` that this process has. The losses are
        those of one device, to rounding. Default: one.
      sharding: What each of ``devices`` keeps: ``"full"``, a part of parameters, optimizer state
        and batch (the default), or ``"data"``, all parameters and state, and a part of the batch.
      **hyperparameters: For an optimizer given by its name: any keywords of its factory, such as
        ``learning_rate=1e-3`` or ``weight_decay=0.1``.

    Returns:
      One row for each evaluated step (the index), and columns "train loss", "heldout loss" and
      the other metrics of the family, such as "heldout accuracy"; held-out values are missing
      where they were not measured. The curve of a run that diverges ends before the step of
      divergence, with a `UserWarning` that names the step.

    Raises:
      SpecError: The task or the optimizer is something else, a setting is out of range, or a
        hyperparameter is unknown.
      UnknownNameError: There is no optimizer of that name.
      PlanError: The devices cannot share a batch evenly, or there are fewer; or the task has no
        corpus metrics, though ``corpus_examples`` asks for them, or what they need is missing.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 32)
      >>> curve = velodrome.train(spec, "adam", steps=20, learning_rate=1e-2)
      >>> list(curve.index)
      [0, 10, 20]
    """
    spec = _task_spec(task)
    if problem := hash_problem(spec.dataset):
        how = "`velodrome.check_data` has the hashes to declare; `velodrome.run` needs them."
        warnings.warn(f"{problem} {how}", UserWarning, stacklevel=2)
    chosen = _optimizer_spec(optimizer, needs, hyperparameters)
    if note := chosen.length_note(steps):
        warnings.warn(note, UserWarning, stacklevel=2)
    protocol = Protocol(
        steps=steps,
        seeds=1,
        baseline_multiple=1,
        eval_every=eval_every,
        heldout_every=5 * eval_every,
        corpus_examples=corpus_examples,
    )
    suite = Suite(spec.label, (spec,), protocol, (chosen.name,))
    check_corpus_metrics(suite, asked=bool(corpus_examples))
    spread = Spread.of(devices, sharding, jax.local_device_count)
    if spread is not None:
        spread.check(suite)
    with numerics():
        placement = None if spread is None else Placement(spread)
        compiled = CompiledTask(suite, 0, placement=placement)
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
    optimizer: object, needs: Iterable[str] | None, hyperparameters: Mapping[str, object]
) -> OptimizerSpec:
    if isinstance(optimizer, str):
        spec = optimizers.get(optimizer)
        # What is not swept may be of any type: it is given as it is, and not traced.
        return dataclasses.replace(spec, static=spec.static | hyperparameters.keys() - spec.traced)
    if not is_transformation(optimizer):
        allowed = 'the name of an optimizer, such as "adam"'
        raise SpecError(
            "optimizer", optimizer, f"an optax transformation{_call_hint(optimizer)}, or {allowed}"
        )
    if hyperparameters:
        raise SpecError(
            "hyperparameters",
            sorted(hyperparameters),
            "left out: they are for an optimizer given by its name, and this one is made already",
        )
    made = cast(optax.GradientTransformation, optimizer)
    return OptimizerSpec(
        name="given",
        label="given",
        factory=lambda: made,
        needs=frozenset({"value"} | required_keywords(made) if needs is None else needs),
    )


def _call_hint(factory: object) -> str:
    name = getattr(factory, "__name__", "")
    if not callable(factory) or not name:
        return ""
    examples = {"learning_rate": "1e-3", "num_steps": "num_steps=1000"}
    required = required_arguments(factory)
    given = ", ".join(examples.get(argument, f"{argument}=...") for argument in sorted(required))
    optional = "learning_rate" in inspect.signature(factory).parameters
    return f" (call {name} first, as in {name}({given or '1e-3' * optional}))"


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
