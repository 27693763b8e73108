"""A meta-training run in memory: which task is next, the outer optimizer, one outer step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from optimizers.metatrain.config import MetaTrainConfig
from optimizers.metatrain.initial import initial_weights
from optimizers.metatrain.outer import (
    OuterState,
    apply_gradient,
    estimate_from_lanes,
    init_state,
    make_lanes,
    scale_tree,
)
from optimizers.metatrain.program import open_program, repeat_each
from optimizers.metatrain.tasks import check_vary, draw_problems, sample_pool
from optimizers.metatrain.unroll import batches_needed
from taskgen.draws import Draws
from taskgen.space import log_int

#: Lengths are rounded to a multiple of this, so that a horizon means the same in logs.
_LENGTH_STEP = 10


class MetaTrainer:
    """A meta-training run in memory. `loop.metatrain` adds directories, resuming and validation.

    Args:
      config: The run's config.
    """

    def __init__(self, config: MetaTrainConfig):
        self.config = config
        check_vary(config.tasks.vary, config.tasks.families)
        self.specs = sample_pool(
            config.tasks, seed=config.tasks.seed, per_family=config.tasks.per_family
        )
        self._scales = scale_tree(config.estimator.scales)

    def init(self) -> OuterState:
        """Returns the state before the first outer step."""
        key = jax.random.key(Draws(self.config.seed, "weights").word("key") >> 32)
        theta = initial_weights(key, self.config.architecture)
        theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), theta)
        return init_state(theta, self.config.outer)

    def step(self, state: OuterState, index: int) -> tuple[OuterState, dict[str, Any]]:
        """Makes outer step ``index``: a pure function of the config, the state and the index."""
        estimator, tasks, unroll = self.config.estimator, self.config.tasks, self.config.unroll
        draws = Draws(self.config.seed, "outer step", index)
        record: dict[str, Any] = {"step": index, "tasks": [], "inner_steps": 0, "dropped": 0}
        gradients = []
        for slot in range(estimator.tasks_per_step):
            position = self.task_position(index * estimator.tasks_per_step + slot)
            inner, run = self._program(position)
            here = draws.child(slot)
            problems = draw_problems(
                inner,
                here,
                count=estimator.pairs,
                batches=batches_needed(unroll, longest=unroll.high),
                reparam_probability=tasks.reparam_probability,
                reparam_range=tasks.reparam_range,
            )
            length = self._length(here)
            key = jax.random.key(here.word("perturbations") >> 32)
            size = {"sigma": estimator.sigma, "pairs": estimator.pairs}
            lanes = make_lanes(state.theta, key, self._scales, **size)
            outcome = run(lanes, repeat_each(problems, 2), length)
            found = estimate_from_lanes(
                state.theta, key, outcome.objective, shaping=estimator.shaping, **size
            )
            dropped = int(found.dropped)
            if dropped < estimator.pairs:
                gradients.append(found.gradient)
            loss = float(found.loss)
            record["tasks"].append(
                {
                    "task": inner.spec.label,
                    "family": inner.spec.family,
                    "length": length,
                    "loss": loss if loss == loss else None,  # NaN: every pair was dropped
                    "difference": float(found.difference),
                }
            )
            record["inner_steps"] += 2 * estimator.pairs * length
            record["dropped"] += dropped
        if gradients:
            mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *gradients)
            state, norm = apply_gradient(state, mean, self._scales, config=self.config.outer)
            record["gradient_norm"] = float(norm)
        return state, record

    def task_position(self, turn: int) -> int:
        """Which task has the turn: every round visits the whole pool, families taking turns."""
        families, size = len(self.config.tasks.families), self.config.tasks.per_family
        round_, place = divmod(turn, families * size)
        row, family = divmod(place, families)
        draws = Draws(self.config.seed, "order", round_, family)
        order = sorted(range(size), key=lambda entry: draws.child(entry).word("rank"))
        return order[row] * families + family

    def _length(self, draws: Draws) -> int:
        low, high = self.config.unroll.low, self.config.unroll.high
        if low == high:
            return low
        length = log_int(low, high + 1).sample(draws, "length")
        return max(low, length - length % _LENGTH_STEP)

    def _program(self, position: int) -> Any:
        return open_program(self.specs[position], self.config.tasks.vary, self.config.unroll)
