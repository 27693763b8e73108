"""Validation: tasks never trained on, against Adam at its best learning rate for the same steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from velodrome.foundation.canonical import content_hash
from velodrome.optimizers.metatrain.config.config import MetaTrainConfig
from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.optimizers.metatrain.es.program import (
    make_particles,
    open_program,
    repeat_all,
    repeat_each,
)
from velodrome.optimizers.metatrain.es.tasks import InnerTask, draw_problems, sample_pool
from velodrome.optimizers.metatrain.es.unroll import Problem, batches_needed
from velodrome.optimizers.metatrain.log import Record
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import LEARNING_RATES
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.space.draws import NamedRng

#: Rates tried at once: all fifteen as lanes outgrow the cache of a small machine.
_RATES_AT_ONCE = 5


@dataclass(frozen=True)
class Baseline:
    """Adam's result on a validation task.

    Attributes:
      task: Label of the task.
      rate: The learning rate with the lowest loss.
      loss: Mean over seeds of its raw training loss (nats) over the last tenth of the run.
    """

    task: str
    rate: float
    loss: float


class Validator:
    """Evaluates weights on the validation tasks of a config; see `Validator.__call__`."""

    def __init__(self, config: MetaTrainConfig):
        record, tasks = config.record, config.tasks
        specs = sample_pool(
            tasks, seed=tasks.validation_seed, per_family=tasks.validation_per_family
        )
        self.steps = record.validation_steps
        # The outcome that counts is the raw loss; which objective is computed besides is idle.
        self._unroll = UnrollConfig(low=self.steps, high=self.steps, objective="tail")
        programs = [open_program(spec, (), self._unroll) for spec in specs]
        self.tasks = [inner for inner, _ in programs]
        self._evaluate = [run for _, run in programs]
        self._seed = config.tasks.validation_seed
        draws = NamedRng(self._seed, "validation")
        self._problems = [
            draw_problems(
                inner,
                draws.child(position),
                count=record.validation_seeds,
                batches=batches_needed(self._unroll),
            )
            for position, inner in enumerate(self.tasks)
        ]

    @property
    def baseline_key(self) -> str:
        """SHA-256 of everything that `baseline` depends on."""
        adam = optimizers.get("adam")
        return content_hash(
            {
                "tasks": [inner.spec.hash for inner in self.tasks],
                "data": [inner.source.content_hash for inner in self.tasks],
                # The problems and their batches follow from these three.
                "seed": self._seed,
                "steps": self.steps,
                "seeds": [len(problems.key) for problems in self._problems],
                "rates": list(LEARNING_RATES),
                "adam": [adam.version, dict(adam.identity)],
            }
        )

    def baseline(self, at: int) -> Baseline:
        """Return Adam at the best of the published rates, by the mean over seeds, on a task."""
        inner = self.tasks[at]
        losses = adam_losses(inner, self._problems[at], self._unroll, steps=self.steps)
        best = int(np.nanargmin(losses))
        return Baseline(inner.spec.label, LEARNING_RATES[best], float(losses[best]))

    def __call__(self, theta: VeLOWeights, baselines: Sequence[Baseline]) -> Record:
        """Return how ``theta`` does: losses, and logarithms of their ratio to Adam's.

        A task on which some seed diverges has a loss of None and counts as not won; it is left
        out of the mean ratio.
        """
        rows = []
        for inner, problems, evaluate, baseline in zip(
            self.tasks, self._problems, self._evaluate, baselines, strict=True
        ):
            same = repeat_each(jax.tree.map(lambda leaf: leaf[None], theta), len(problems.key))
            loss = float(jnp.mean(evaluate(same, problems, self.steps).last))
            finite = math.isfinite(loss)
            ratio = math.log(max(loss, 1e-12) / max(baseline.loss, 1e-12)) if finite else None
            rows.append(
                {
                    "task": inner.spec.label,
                    "family": inner.spec.family,
                    "loss": loss if finite else None,
                    "adam": baseline.loss,
                    "log_ratio": ratio,
                }
            )
        ratios = [row["log_ratio"] for row in rows if row["log_ratio"] is not None]
        return {
            "log_ratio": sum(ratios) / len(ratios) if ratios else None,
            "won": sum(ratio < 0 for ratio in ratios),
            "diverged": len(rows) - len(ratios),
            "tasks": rows,
        }


def adam_losses(
    inner: InnerTask, problems: Problem, unroll: UnrollConfig, *, steps: int
) -> np.ndarray:
    """Return Adam's loss at each published rate, the mean over problems; NaN if one diverged."""
    run = make_particles(inner, unroll, adam)
    seeds = len(problems.key)
    rates = np.asarray(LEARNING_RATES, np.float32).reshape(-1, _RATES_AT_ONCE)
    losses = [
        np.asarray(
            run(repeat_each(jnp.asarray(some), seeds), repeat_all(problems, len(some)), steps).last
        ).reshape(-1, seeds)
        for some in rates
    ]
    return np.mean(np.concatenate(losses), axis=1)


def adam(rate: Array, steps: Array) -> optax.GradientTransformationExtraArgs:
    """Return Adam at a rate, as `make_particles` asks for it."""
    del steps  # Adam does not ask for the length of the run
    return optimizers.get("adam").make({"learning_rate": rate}, num_steps=None)
