"""A meta-training run in memory: which task is next, its evaluation, one outer step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.optimizers.metatrain.config.config import MetaTrainConfig
from velodrome.optimizers.metatrain.es.episodes import Episode, advance_episode, start_episode
from velodrome.optimizers.metatrain.es.exchange import Report, estimate_from, mean_gradient
from velodrome.optimizers.metatrain.es.outer import (
    OuterState,
    apply_gradient,
    init_state,
    make_lanes,
    scale_tree,
)
from velodrome.optimizers.metatrain.es.program import open_program, open_windows, repeat_each
from velodrome.optimizers.metatrain.es.tasks import (
    augmented,
    check_vary,
    draw_length,
    draw_problems,
    sample_pool,
)
from velodrome.optimizers.metatrain.es.unroll import Problem, batches_needed
from velodrome.optimizers.metatrain.initial import initial_weights
from velodrome.optimizers.metatrain.log import Record
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.space.distributions import choice
from velodrome.taskgen.space.draws import NamedRng


class TrainState(NamedTuple):
    """All that changes from one outer step to the next.

    Attributes:
      outer: The weights, their average, and the outer optimizer.
      episodes: Inner problems under way, by position in the pool; only persistent ES has any.
    """

    outer: OuterState
    episodes: Mapping[int, Episode]


class MetaTrainer:
    """A meta-training run in memory. `loop.metatrain` adds directories, resuming and validation."""

    def __init__(self, config: MetaTrainConfig):
        self.config = config
        check_vary(config.tasks.vary, config.tasks.families)
        self.specs = [
            augmented(spec, config.tasks)
            for spec in sample_pool(
                config.tasks, seed=config.tasks.seed, per_family=config.tasks.per_family
            )
        ]

    def init(self) -> TrainState:
        key = jax.random.key(NamedRng(self.config.seed, "weights").word("key") >> 32)
        theta = initial_weights(key, self.config.architecture)
        theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), theta)
        return TrainState(init_state(theta, self.config.outer), {})

    def step(self, state: TrainState, index: int) -> tuple[TrainState, Record]:
        """Make outer step ``index``: a pure function of the config, the state and the index."""
        slots = range(self.config.estimator.tasks_per_step)
        reports, episodes = self.evaluate(state, index, slots)
        outer, record = self.apply(state.outer, index, reports)
        return TrainState(outer, episodes), record

    def evaluate(
        self, state: TrainState, index: int, slots: Sequence[int]
    ) -> tuple[list[Report], dict[int, Episode]]:
        """Evaluate some slots of outer step ``index``; return reports and the episodes after."""
        episodes = dict(state.episodes)
        method = self._full if self.config.estimator.method == "full" else self._window
        return [method(state.outer.theta, episodes, index, slot) for slot in slots], episodes

    def apply(
        self, outer: OuterState, index: int, reports: Sequence[Report]
    ) -> tuple[OuterState, Record]:
        """Make the outer step that the reports ask for; a pure function of its arguments."""
        estimator = self.config.estimator
        record: Record = {"step": index, "tasks": [], "inner_steps": 0, "dropped": 0}
        reports = sorted(reports, key=lambda report: report.slot)
        estimates = [
            estimate_from(report, outer.theta, sigma=estimator.sigma, shaping=estimator.shaping)
            for report in reports
        ]
        for report, found in zip(reports, estimates, strict=True):
            spec = self.specs[self.position(index, report.slot)]
            loss = float(found.loss)
            record["tasks"].append(
                {
                    "task": spec.label,
                    "family": spec.family,
                    "length": report.length,
                    "loss": loss if loss == loss else None,  # NaN: every pair was dropped
                    "difference": float(found.difference),
                }
            )
            record["inner_steps"] += report.losses.size * report.steps
            record["dropped"] += int(found.dropped)
        record["pairs"] = sum(len(report.losses) for report in reports)
        gradient = mean_gradient(estimates, [len(report.losses) for report in reports])
        if gradient is not None:
            outer, norm = apply_gradient(
                outer, gradient, self._scales(index), config=self.config.outer
            )
            record["gradient_norm"] = float(norm)
        return outer, record

    def position(self, index: int, slot: int) -> int:
        """Return the position in the pool of the task that a slot of an outer step evaluates."""
        return self.task_position(index * self.config.estimator.tasks_per_step + slot)

    def task_position(self, turn: int) -> int:
        """Return which task has the turn: every round visits the whole pool, families in turn.

        With a mixture, each turn is an independent draw.
        """
        families, size = len(self.config.tasks.families), self.config.tasks.per_family
        if mixture := self.config.tasks.mixture:
            draws = NamedRng(self.config.seed, "mixture", turn)
            # In millionths: `choice` is exact on every machine, with integer weights.
            parts = [max(1, round(1e6 * weight)) for weight in mixture.values()]
            family = choice(tuple(mixture), weights=parts).sample(draws, "family")
            row = int(draws.unit("row") * size)
            return row * families + self.config.tasks.families.index(family)
        round_, place = divmod(turn, families * size)
        row, family = divmod(place, families)
        draws = NamedRng(self.config.seed, "order", round_, family)
        order = sorted(range(size), key=lambda entry: draws.child(entry).word("rank"))
        return order[row] * families + family

    def close(self) -> None:
        """End whatever works for this trainer: nothing, in one process."""

    def restored(self, position: int, values: Record) -> Episode:
        """Return an episode of a checkpoint, with shapes in place of its carry."""
        problems = self._problems(position, NamedRng(self.config.seed, *values["draws"]))
        windows = open_windows(self.specs[position], self.config.tasks.vary)
        return Episode.from_json(values, problems, windows, self.init().outer.theta)

    def _full(
        self, theta: VeLOWeights, episodes: dict[int, Episode], index: int, slot: int
    ) -> Report:
        del episodes
        here = NamedRng(self.config.seed, "outer step", index, slot)
        position = self.position(index, slot)
        _, run = open_program(self.specs[position], self.config.tasks.vary, self.config.unroll)
        problems = self._problems(position, here)
        length = self._length(here, index)
        lanes, seed = self._lanes(theta, here, index)
        outcome = run(lanes, repeat_each(problems, 2), length)
        return Report(slot, (seed,), _pairs(outcome.objective), length, length)

    def _window(
        self, theta: VeLOWeights, episodes: dict[int, Episode], index: int, slot: int
    ) -> Report:
        here = NamedRng(self.config.seed, "outer step", index, slot)
        position = self.position(index, slot)
        windows = open_windows(self.specs[position], self.config.tasks.vary)
        lanes, seed = self._lanes(theta, here, index)
        episode = episodes.pop(position, None)
        if episode is None:
            draws, length = here.child("episode"), self._length(here, index)
            problems = self._problems(position, draws)
            episode = start_episode(windows, lanes, problems, draws.path, length)
        before = episode.done
        episode, losses = advance_episode(
            episode, windows, lanes, seed, most=self.config.estimator.window
        )
        if episode.done < episode.length:
            episodes[position] = episode
        steps = episode.done - before
        return Report(slot, episode.seeds, _pairs(losses), episode.length, steps)

    def _lanes(self, theta: VeLOWeights, draws: NamedRng, index: int) -> tuple[VeLOWeights, int]:
        estimator = self.config.estimator
        seed = draws.word("perturbations") >> 32
        lanes = make_lanes(
            theta,
            jax.random.key(seed),
            self._scales(index),
            sigma=estimator.sigma,
            pairs=estimator.pairs,
        )
        return lanes, seed

    def _problems(self, position: int, draws: NamedRng) -> Problem:
        unroll, spec = self.config.unroll, self.specs[position]
        if self.config.estimator.method == "full":
            inner, _ = open_program(spec, self.config.tasks.vary, unroll)
            batches = batches_needed(unroll)
        else:
            inner = open_windows(spec, self.config.tasks.vary).inner
            batches = unroll.high
        return draw_problems(inner, draws, count=self.config.estimator.pairs, batches=batches)

    def _scales(self, index: int) -> VeLOWeights:
        return scale_tree(self.config.phase(index).scales)

    def _length(self, draws: NamedRng, index: int) -> int:
        phase = self.config.phase(index)
        return draw_length(draws, phase.low, phase.high)


def _pairs(losses: jax.Array) -> np.ndarray:
    return np.asarray(losses, np.float32).reshape(-1, 2)
