"""What a search evaluates: candidates on the tasks of a generation, weights on all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np

from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.optimizers.metatrain.config.search import SearchConfig
from velodrome.optimizers.metatrain.es.program import open_pruned_program, repeat_all
from velodrome.optimizers.metatrain.es.tasks import (
    augmented,
    draw_length,
    draw_problems,
    sample_pool,
)
from velodrome.optimizers.metatrain.es.unroll import batches_needed
from velodrome.optimizers.metatrain.log import Record
from velodrome.optimizers.metatrain.search.envelope import Envelope
from velodrome.optimizers.velo.controller import Controller, fold
from velodrome.optimizers.velo.handmade.features import featured_weights
from velodrome.optimizers.velo.handmade.numbers import Numbers, moved, numbers_from
from velodrome.optimizers.velo.pruning import prune_alike
from velodrome.optimizers.velo.reads import Reads
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.spec import TaskSpec


class Searcher:
    """Evaluates candidates. `search_numbers` makes them, and adds directories and resuming.

    ``envelopes`` has Adam's envelope of each task of the pool, by the hash of its spec.
    """

    def __init__(
        self, config: SearchConfig, specs: Sequence[TaskSpec], envelopes: Mapping[str, Envelope]
    ):
        self.config = config
        self.specs = specs
        self._envelopes = envelopes
        longest = config.lengths.high
        self._unroll = UnrollConfig(low=longest, high=longest, objective="tail")

    def numbers(self, candidate: Iterable[float]) -> Numbers:
        """Return the numbers of a candidate: distances from the start in units of the scales."""
        distances = dict(zip(self.config.searched, candidate, strict=True))
        return numbers_from(
            {
                name: moved(name, start, scale * float(distances.get(name, 0.0)))
                for name, (start, scale) in self.config.numbers.items()
            }
        )

    def evaluate(self, index: int, candidates: Sequence[Iterable[float]]) -> Record:
        """Return the record of generation ``index``: a pure function of the arguments."""
        weights = self._pruned([self.numbers(row) for row in candidates])
        aims = np.zeros(len(candidates))
        record: Record = {"generation": index, "tasks": [], "inner_steps": 0}
        for slot in range(self.config.strategy.tasks):
            spec, length, draws = self.draw(index, slot)
            found = self._speedups(spec, weights, length, draws, problems=1)
            aims += found / self.config.strategy.tasks
            record["tasks"].append(
                {
                    "task": spec.label,
                    "family": spec.family,
                    "length": length,
                    "mean": round(float(np.mean(found)), 4),
                    "best": round(float(np.max(found)), 4),
                }
            )
            record["inner_steps"] += len(candidates) * length
        return {**record, "aims": aims.tolist()}

    def check(self, numbers: Numbers, length: int) -> Record:
        """Return how weights do on the whole pool, on problems that no generation has seen."""
        count = self.config.strategy.population
        weights = self._pruned([numbers] * count)
        means = np.empty(len(self.specs))
        for at, spec in enumerate(self.specs):
            draws = NamedRng(self.config.seed, "check", spec.spec_hash)
            means[at] = np.mean(self._speedups(spec, weights, length, draws, problems=count))
        of = np.array([spec.family for spec in self.specs])
        families = {name: np.mean(means[of == name]) for name in self.config.tasks.families}
        return {
            "steps": length,
            "mean": round(float(np.mean(means)), 3),
            "median": round(float(np.median(means)), 3),
            "share_faster": round(float(np.mean(means > 0)), 3),
            "mean_by_family": {name: round(float(mean), 3) for name, mean in families.items()},
        }

    def draw(self, index: int, slot: int) -> tuple[TaskSpec, int, NamedRng]:
        """Return the task and the length of a slot of a generation, and draws for its problem."""
        draws = NamedRng(self.config.seed, "generation", index, slot)
        families = self.config.tasks.families
        turn = index * self.config.strategy.tasks + slot
        mine = [spec for spec in self.specs if spec.family == families[turn % len(families)]]
        spec = mine[draws.word("task") % len(mine)]
        lengths = self.config.lengths
        length = draw_length(draws, lengths.low, lengths.longest(spec.family))
        return spec, length, draws.child("problem")

    def _pruned(self, numbers: Sequence[Numbers]) -> tuple[Controller, Reads]:
        controllers = [fold(searched_weights(self.config, some)) for some in numbers]
        return prune_alike(controllers)

    def _speedups(
        self,
        spec: TaskSpec,
        pruned: tuple[Controller, Reads],
        length: int,
        draws: NamedRng,
        *,
        problems: int,
    ) -> np.ndarray:
        controllers, reads = pruned
        inner, run = open_pruned_program(spec, reads, self._unroll)
        batches = batches_needed(self._unroll)
        drawn = draw_problems(inner, draws, count=problems, batches=batches)
        lanes = len(controllers.head_b)
        losses = np.asarray(run(controllers, repeat_all(drawn, lanes // problems), length).last)
        envelope, below = self._envelopes[spec.hash], self.config.strategy.below
        return np.array([envelope.log2_speedup(float(x), length, below=below) for x in losses])


def pool(config: SearchConfig) -> list[TaskSpec]:
    tasks = config.tasks
    specs = sample_pool(tasks, seed=tasks.seed, per_family=tasks.per_family)
    return [augmented(spec, tasks) for spec in specs]


def searched_weights(config: SearchConfig, numbers: Numbers) -> VeLOWeights:
    """Return the weights of a config's size and seed that are made with ``numbers``."""
    key = jax.random.key(NamedRng(config.seed, "weights").word("key") >> 32)
    size = config.architecture
    return featured_weights(key, hidden=size.hidden, bank=size.bank, numbers=numbers)
