"""What workers exchange: seeds and losses, from which each makes the same gradient.

A perturbation is a function of its seed, so a report of an evaluation is a few bytes a pair,
whatever the size of the weights. Everything here is a pure function.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.metatrain.es.estimator import Estimate, accumulate, estimate
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.nn.evolution import unit_noise

_noise = jax.jit(unit_noise, static_argnames=("count",))
_estimate = jax.jit(estimate, static_argnames=("shaping",))


@dataclass(frozen=True, eq=False)
class Report:
    """The losses of the pairs of one slot of an outer step.

    Attributes:
      slot: Place in the outer step.
      seeds: Seeds of the perturbations: one, or for persistent ES those of all windows so far.
      losses: Meta-losses f32[pairs, 2] at plus and minus each perturbation.
      length: Inner steps of the whole problem, which is its horizon.
      steps: Inner steps that each particle made for this report.
    """

    slot: int
    seeds: tuple[int, ...]
    losses: np.ndarray
    length: int
    steps: int

    def to_bytes(self) -> bytes:
        """Return the report as it is sent: a line of JSON, and 8 bytes for each pair."""
        head = {"slot": self.slot, "seeds": self.seeds, "length": self.length, "steps": self.steps}
        return json.dumps(head).encode() + b"\n" + self.losses.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> Report:
        """Read what `to_bytes` returned.

        Raises:
          VelodromeError: It is no report.
        """
        try:
            head, _, losses = content.partition(b"\n")
            values = json.loads(head)
            values["seeds"] = tuple(values["seeds"])
            pairs = np.frombuffer(losses, "<f4").reshape(-1, 2)
            return cls(losses=pairs.astype(np.float32), **values)
        except (ValueError, TypeError, KeyError) as error:
            raise VelodromeError(
                f"a worker sent what is no report ({error}). Do all workers have one version?"
            ) from error


def estimate_from(report: Report, theta: VeLOWeights, *, sigma: float, shaping: str) -> Estimate:
    """Return the estimate of one report; its perturbations follow from the seeds.

    Only the shapes of ``theta`` count; other arguments are those of `estimator.estimate`.
    """
    pairs = len(report.losses)
    noise = [_noise(jax.random.key(seed), theta, count=pairs) for seed in report.seeds]
    return _estimate(report.losses, accumulate(noise), sigma=sigma, shaping=shaping)


def mean_gradient(estimates: Sequence[Estimate], pairs: Sequence[int]) -> VeLOWeights | None:
    """Return the mean over the estimates with at least one pair left; None if there is none.

    Estimates are in the order of the slots, so that every worker adds in one order; ``pairs`` are
    the pairs of each, the dropped ones included.
    """
    kept = [
        found.gradient
        for found, count in zip(estimates, pairs, strict=True)
        if int(found.dropped) < count
    ]
    if not kept:
        return None
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *kept)
