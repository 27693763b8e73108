"""Inner problems of persistent ES, which continue from one outer step to the next."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from velodrome.optimizers.metatrain.es.program import Windows, repeat_each
from velodrome.optimizers.metatrain.es.unroll import Carry, Problem
from velodrome.optimizers.velo.weights.tree import VeLOWeights


@dataclass(frozen=True, eq=False)
class Episode:
    """The inner problems of one task, one for each pair, all at the same step.

    The accumulated perturbation of a pair is the sum of those of ``seeds``. A pair that diverges
    is dropped, and counted, in every window until the episode ends.

    Attributes:
      problems: One for each pair.
      carry: One for each particle.
      draws: Path of the draws that the problems were made from.
      length: Inner steps in all.
      done: Inner steps made.
      seeds: Seeds of the perturbations, one for each window so far.
    """

    problems: Problem
    carry: Carry
    draws: tuple[str | int, ...]
    length: int
    done: int
    seeds: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all but the problems and the carry."""
        return {
            "draws": list(self.draws),
            "length": self.length,
            "done": self.done,
            "seeds": list(self.seeds),
        }

    @classmethod
    def from_json(
        cls, values: dict[str, Any], problems: Problem, windows: Windows, theta: VeLOWeights
    ) -> Episode:
        """Read what `to_json` returned; the carry has shapes in place of arrays."""
        lanes = jax.tree.map(lambda leaf: leaf[None], theta)
        lanes = repeat_each(lanes, 2 * len(problems.key))
        carry = windows.shapes(lanes, repeat_each(problems, 2), values["length"])
        draws, seeds = tuple(values["draws"]), tuple(values["seeds"])
        return cls(problems, carry, draws, values["length"], values["done"], seeds)


def start_episode(
    windows: Windows,
    lanes: VeLOWeights,
    problems: Problem,
    draws: tuple[str | int, ...],
    length: int,
) -> Episode:
    carry = windows.start(lanes, repeat_each(problems, 2), length)
    return Episode(problems, carry, draws, length, 0, ())


def advance_episode(
    episode: Episode, windows: Windows, lanes: VeLOWeights, seed: int, *, most: int
) -> tuple[Episode, jax.Array]:
    """Make the next window; return the episode after it and each particle's meta-loss.

    Args:
      lanes: Weights of the particles: plus and minus of each pair.
      most: Inner steps of a window; the last one may be shorter.
    """
    end = min(episode.done + most, episode.length)
    carry, losses = windows.advance(
        lanes,
        repeat_each(episode.problems, 2),
        episode.carry,
        jnp.asarray(episode.done, jnp.int32),
        jnp.asarray(end, jnp.int32),
        jnp.asarray(episode.length, jnp.int32),
    )
    after = dataclasses.replace(episode, carry=carry, done=end, seeds=(*episode.seeds, seed))
    return after, losses
