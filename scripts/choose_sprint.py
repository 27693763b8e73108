"""Choose the tasks of ``sprint``, the suite of the leaderboard: small enough to enter in minutes.

Three tasks of each of four families, from a sampler seed of their own, between 1 and 10 MFLOP a
step, with a hidden layer and at least 1,000 parameters. Images: the first on each of the three
built-in data sets. Text: the first three. A probe leaves out saturated image tasks: Adam at three
rates for 1,000 steps; saturated is one whose mean training loss over the last tenth, at the best
rate, is below a twentieth of the loss of a blind guess. The rule was set before any result.

``python scripts/choose_sprint.py`` makes the probe (a minute) and prints its results;
``python scripts/freeze_suites.py sprint`` writes the list.
"""

from __future__ import annotations

import math
import sys

from scripts.choose_heldout import FAMILIES, PROBE_RATES, has_hidden_layer, named, print_verdicts
from velodrome.foundation.errors import PlanError
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.description import cost
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.spec import TaskSpec

#: Below `velodrome.optimizers.metatrain.config.inner.FIRST_TRAINING_SEED`: reserved for evaluation.
SEED = 50
PER_FAMILY = 3
MIN_FLOPS, MAX_MFLOP = 1_000_000, 10.0
MIN_PARAMS = 1_000
STEPS = 1_000
#: Eight in half decades: enough for the optimizers of the field, few enough to be quick.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

#: First 16 digits of the hashes of the candidates that the probe found saturated.
SATURATED: frozenset[str] = frozenset()

_MOST_SPECS = 64


def candidates(family: str) -> list[TaskSpec]:
    """Return the specs of a family within the limits, in order, each program once."""
    drawn = sample(_MOST_SPECS, seed=SEED, family=family, data="built-in", max_mflop=MAX_MFLOP)
    fit = [
        spec
        for spec in drawn
        if cost(spec).flops >= MIN_FLOPS
        and cost(spec).params >= MIN_PARAMS
        and has_hidden_layer(spec)
    ]
    return list({spec.static_hash: spec for spec in fit}.values())


def sprint() -> Suite:
    """Return the first candidates that are not saturated: of images, one on each data set."""
    tasks: list[TaskSpec] = []
    for family in FAMILIES:
        kept = [spec for spec in candidates(family) if spec.hash[:16] not in SATURATED]
        if datasets.get(kept[0].data.name).info.kind == "image":
            kept = list({spec.data.name: spec for spec in reversed(kept)}.values())[::-1]
        if len(kept) < PER_FAMILY:
            raise PlanError(f"{_MOST_SPECS} samples do not have {PER_FAMILY} {family} tasks.")
        tasks += [named(spec, index) for index, spec in enumerate(kept[:PER_FAMILY])]
    protocol = Protocol(
        steps=STEPS, seeds=3, baseline_multiple=5, heldout_every=100, learning_rates=RATES
    )
    return Suite("sprint", tuple(tasks), protocol, ("adam", "velo"))


def probe(spec: TaskSpec) -> float:
    """Return Adam's training loss at the best probe rate, as a fraction of a blind guess's."""
    import optax

    from velodrome.suites.training.train import train

    losses = [
        train(spec, optax.adam(rate), steps=STEPS)["train loss"].iloc[-STEPS // 100 :].mean()
        for rate in PROBE_RATES
    ]
    return min(losses) / math.log(datasets.get(spec.data.name).info.num_classes)


def main() -> int:
    """Probe the image tasks and print a line for each."""
    for family in ("mlp", "cnn"):
        print_verdicts((spec, probe(spec)) for spec in candidates(family))
    return 0


if __name__ == "__main__":
    sys.exit(main())
