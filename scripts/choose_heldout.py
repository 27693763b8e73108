"""Choose the tasks of ``heldout-40``, on which meta-trained weights are judged.

Ten tasks of each of four families, from a sampler seed that no meta-training may use, between 1
and 20 MFLOP a step. A probe leaves out saturated tasks: Adam at three rates, 2,000 steps of one
run; a classification task is saturated if at the best rate the mean training loss over the last
tenth is below a twentieth of the loss of a blind guess. Language models are not probed: in 2,000
steps none of them learns its text by heart.

``python scripts/choose_heldout.py`` makes the probe (minutes) and prints its results;
``python scripts/freeze_suites.py heldout-40`` writes the list.

``heldout-8`` and ``heldout-8-width`` are a small part of it, with fewer rates and a shorter
baseline, for runs of other lengths and for wider networks.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Iterable, Iterator

from velodrome.foundation.errors import PlanError
from velodrome.optimizers.metatrain.config.inner import HELD_OUT_DATA
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.description import cost
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.spec import TaskSpec

FAMILIES = ("mlp", "cnn", "rnn", "transformer")
PER_FAMILY = 10
#: Below `velodrome.optimizers.metatrain.config.inner.FIRST_TRAINING_SEED`: reserved for evaluation.
SEED = 40
MIN_FLOPS, MAX_MFLOP = 1_000_000, 20.0

STEPS = 2_000
PROBE_RATES = (1e-3, 3e-3, 1e-2)
#: A fraction of the loss of a blind guess, which is the logarithm of the number of classes.
SATURATED_FRACTION = 0.05

#: First 16 digits of the hashes of the candidates that the probe found saturated.
SATURATED: frozenset[str] = frozenset({"74c23387d3076443"})

#: For ``heldout-8``: tasks of each family, and the field that makes a family wider.
FEW = 2
WIDTH_FIELDS = {
    "mlp": "hidden_size",
    "cnn": "hidden_size",
    "rnn": "rnn_size",
    "transformer": "d_model_per_head",
}
WIDTHS = (1, 4, 16)
FEW_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)

_MOST_SPECS = 64


@functools.cache
def candidates(family: str) -> list[TaskSpec]:
    """Return the specs of a family within the limits, in order, each program once."""
    drawn = sample(_MOST_SPECS, seed=SEED, family=family, data="built-in", max_mflop=MAX_MFLOP)
    large = [spec for spec in drawn if cost(spec).flops >= MIN_FLOPS]
    return list({spec.static_hash: spec for spec in large}.values())


def heldout_40() -> Suite:
    """Return the first ten candidates of each family that are not saturated.

    Tasks on data that no meta-training uses are named ``...-new-data``: the others are new
    architectures on data that weights may have been trained with.
    """
    tasks = []
    for family in FAMILIES:
        kept = [spec for spec in candidates(family) if spec.hash[:16] not in SATURATED]
        if len(kept) < PER_FAMILY:
            raise PlanError(f"{_MOST_SPECS} samples do not have {PER_FAMILY} {family} tasks.")
        tasks += [named(spec, index) for index, spec in enumerate(kept[:PER_FAMILY])]
    return Suite(
        name="heldout-40",
        tasks=tuple(tasks),
        protocol=_protocol(baseline_multiple=10),
        optimizers=("adam", "velo"),
    )


def has_hidden_layer(spec: TaskSpec) -> bool:
    return getattr(spec.config, "num_layers", 1) > 0


def heldout_8() -> Suite:
    """Return the first two tasks of each family of ``heldout-40`` that have a hidden layer."""
    known, tasks = heldout_40().tasks, []
    for family in FAMILIES:
        deep = [task for task in known if task.family == family and has_hidden_layer(task)]
        tasks += deep[:FEW]
    protocol = _protocol(baseline_multiple=2, learning_rates=FEW_RATES)
    return Suite(
        name="heldout-8", tasks=tuple(tasks), protocol=protocol, optimizers=("adam", "velo")
    )


def _protocol(
    *, baseline_multiple: int, learning_rates: tuple[float, ...] | None = None
) -> Protocol:
    return Protocol(
        steps=STEPS,
        seeds=3,
        baseline_multiple=baseline_multiple,
        # Half as many as by default: with small batches evaluations take most of the time.
        eval_every=20,
        heldout_every=200,
        learning_rates=learning_rates,
    )


def heldout_8_width() -> Suite:
    """Return the tasks of ``heldout-8`` with hidden layers of 1, 4 and 16 times their size."""
    few = heldout_8()
    tasks = tuple(wider(task, times) for times in WIDTHS for task in few.tasks)
    return dataclasses.replace(few, name="heldout-8-width", tasks=tasks)


def wider(task: TaskSpec, times: int) -> TaskSpec:
    """Return a task with its hidden layers ``times`` as large, and ``-xTIMES`` in its name."""
    name = WIDTH_FIELDS[task.family]
    config = dataclasses.replace(task.config, **{name: times * getattr(task.config, name)})
    return dataclasses.replace(task, config=config, name=f"{task.name}-x{times}")


def named(spec: TaskSpec, index: int) -> TaskSpec:
    """Name a spec for the list: family, number, data set, and whether the data are new."""
    suffix = "-new-data" if spec.data.name in HELD_OUT_DATA else ""
    return dataclasses.replace(spec, name=f"{spec.family}-{index:02d}-{spec.data.name}{suffix}")


def probe(family: str, wanted: int = PER_FAMILY) -> Iterator[tuple[TaskSpec, float]]:
    """Yield candidates of an image family, with Adam's loss as a fraction of a blind guess's.

    It stops after ``wanted`` candidates that are not saturated.
    """
    good = 0
    for spec in candidates(family):
        loss = _adam_loss(spec)
        classes = datasets.get(spec.data.name).info.num_classes
        fraction = loss / math.log(classes)
        yield spec, fraction
        good += fraction >= SATURATED_FRACTION
        if good == wanted:
            return


def _adam_loss(spec: TaskSpec) -> float:
    """Return Adam's mean training loss (nats) over the last tenth, at the best probe rate."""
    import jax.numpy as jnp
    import numpy as np

    from velodrome.optimizers.metatrain.config.inner import UnrollConfig
    from velodrome.optimizers.metatrain.es.program import make_particles
    from velodrome.optimizers.metatrain.es.tasks import draw_problems, open_task
    from velodrome.optimizers.registry import optimizers
    from velodrome.taskgen.space.draws import NamedRng

    def adam(rate, steps):
        del steps
        return optimizers.get("adam").make({"learning_rate": rate}, num_steps=None)

    inner = open_task(spec, vary=())
    run = make_particles(inner, UnrollConfig(low=STEPS, high=STEPS), adam)
    problems = draw_problems(inner, NamedRng(SEED, "probe"), count=1, batches=STEPS)
    losses = [
        np.asarray(run(jnp.asarray([rate], jnp.float32), problems, STEPS).last)
        for rate in PROBE_RATES
    ]
    return float(np.nanmin(losses))


def main() -> int:
    """Probe the image families and print a line for each candidate."""
    from velodrome.taskgen.numerics import numerics

    with numerics():
        for family in ("mlp", "cnn"):
            print_verdicts(probe(family))
    return 0


def print_verdicts(probed: Iterable[tuple[TaskSpec, float]]) -> None:
    """Print a line for each task, as soon as it is probed."""
    for spec, fraction in probed:
        verdict = "saturated" if fraction < SATURATED_FRACTION else "kept"
        print(f"{spec.hash[:16]} {spec.family} {spec.data.name} {fraction:.4f} {verdict}")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
