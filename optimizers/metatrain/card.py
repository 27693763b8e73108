"""The card of meta-trained weights: how they were made, and at what cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax

from velodrome.optimizers.metatrain.config.config import MetaTrainConfig
from velodrome.optimizers.metatrain.es.tasks import pool_hash
from velodrome.optimizers.metatrain.log import Record
from velodrome.taskgen.spec import TaskSpec

_METHODS = {
    "full": "full-length evolution strategies, antithetic pairs",
    "pes": "persistent evolution strategies, antithetic pairs",
}


@dataclasses.dataclass
class Totals:
    """What a run has done so far, interruptions included.

    Attributes:
      steps: Outer steps.
      inner_steps: Training steps of inner problems, all particles counted.
      pairs: Antithetic pairs.
      dropped: Pairs left out because a loss was not finite.
      lost: Pairs that no worker reported, because one had died.
      seconds: Wall-clock time.
      cpu_seconds: Processor time of this process.
      workers: The most workers that shared it; their processor time is not in it.
    """

    steps: int = 0
    inner_steps: int = 0
    pairs: int = 0
    dropped: int = 0
    lost: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    workers: int = 0


def make_card(
    config: MetaTrainConfig, specs: Sequence[TaskSpec], totals: Totals, validation: Record | None
) -> Record:
    """Return what should be known about weights that an evolution made."""
    return {
        "training": {
            "method": _METHODS[config.estimator.method],
            "config": config.to_json(),
            "tasks_hash": pool_hash(specs),
            "tasks": len(specs),
            "compute": compute_on_card(totals),
        },
        "results": {"validation": validation},
    }


def compute_on_card(totals: Totals) -> Record:
    return {
        "outer_steps": totals.steps,
        "inner_steps": totals.inner_steps,
        "pairs": totals.pairs,
        "pairs_dropped": totals.dropped,
        "pairs_lost": totals.lost,
        "hours": round(totals.seconds / 3600, 3),
        "cpu_hours": round(totals.cpu_seconds / 3600, 3),
        "workers": totals.workers,
        "device": jax.devices()[0].device_kind,
    }
