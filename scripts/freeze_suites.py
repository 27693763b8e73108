"""Make the frozen lists in suites/lists: ``python scripts/freeze_suites.py demo``.

The command gives the same file, byte for byte, on every machine; a test makes the lists again and
compares. A list is frozen once results on it are published: then a change needs a new name.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from scripts import choose_heldout as heldout
from scripts import mlcommons_suites as mlcommons
from scripts import stress_suites as stress
from scripts.choose_sprint import MIN_PARAMS, sprint
from velodrome.foundation.errors import PlanError
from velodrome.foundation.files import atomic_write_json
from velodrome.suites.catalog import LISTS
from velodrome.suites.protocol import Protocol
from velodrome.suites.published.tasks import in_83, published_tasks
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.spec import TaskSpec

DEMO_TASKS_PER_FAMILY = 2
DEMO_SEED = 0
DEMO_MAX_MFLOP = 6.0
#: What is shown has a hidden layer and a thousand parameters, as in ``sprint``: the smallest of the
#: 83 published tasks has one such layer and 2,410. The floor was set before anything was trained on
#: the tasks that came in with it.
DEMO_MIN_PARAMETERS = MIN_PARAMS

#: Specs of a family that are searched for two.
_MOST_SPECS = 16


def demo() -> Suite:
    """Return the first two networks of each family that the sampler gives on built-in data.

    They are the first two per family that have a hidden layer of
    ``velodrome sample --seed 0 --data built-in --max-mflop 6 --min-parameters 1000``.
    """
    tasks: list[TaskSpec] = []
    for family in heldout.FAMILIES:
        drawn = sample(
            _MOST_SPECS,
            seed=DEMO_SEED,
            family=family,
            data="built-in",
            max_mflop=DEMO_MAX_MFLOP,
            min_parameters=DEMO_MIN_PARAMETERS,
        )
        chosen = [spec for spec in drawn if heldout.has_hidden_layer(spec)][:DEMO_TASKS_PER_FAMILY]
        if len(chosen) < DEMO_TASKS_PER_FAMILY:
            raise PlanError(f"{_MOST_SPECS} samples do not have two {family} tasks.")
        tasks += chosen
    protocol = Protocol(
        steps=500,
        seeds=3,
        baseline_multiple=4,
        # Few and small: with small batches (4 to 13 in six tasks) they cost more than training.
        eval_every=25,
        heldout_every=125,
        eval_examples=256,
    )
    return Suite("demo", tuple(tasks), protocol, ("adam", "velo"))


def smoke() -> Suite:
    """Return two tiny tasks, Adam against SGD at three rates: they take seconds, compiling too."""
    image = TaskSpec(
        family="mlp",
        config={"hidden_size": 8, "num_layers": 1, "image_size": 8},
        data=DataSpec("digits"),
        batch_size=16,
        name="tiny-mlp",
    )
    text = TaskSpec(
        family="rnn",
        config={
            "cell": "gru",
            "rnn_size": 8,
            "embed_size": 8,
            "sequence_length": 8,
            "vocab_size": 128,
        },
        data=DataSpec("kjv"),
        batch_size=8,
        name="tiny-gru",
    )
    return Suite(
        name="smoke",
        tasks=(image, text),
        protocol=Protocol(
            steps=20,
            seeds=2,
            baseline_multiple=2,
            eval_every=5,
            heldout_every=10,
            learning_rates=(1e-3, 1e-2, 1e-1),
        ),
        optimizers=("adam", "sgd"),
    )


#: The protocol of Metz et al. 2022 (arXiv 2211.09760) for the published curves, with Adam's over
#: 100,000 steps. Theirs evaluates on three splits, and for the last time over ten batches.
PUBLISHED_PROTOCOL = Protocol(
    steps=10_000,
    seeds=5,
    baseline="adam",
    baseline_multiple=10,
    eval_every=10,
    heldout_every=100,
    eval_batches="stream",
    eval_mode="training-loss",
    eval_batch_count=5,
)


def _published(name: str, *, of_83: bool) -> Suite:
    chosen = [spec for task, spec in published_tasks().items() if in_83(task) == of_83]
    return Suite(name=name, tasks=tuple(chosen), protocol=PUBLISHED_PROTOCOL)


RECIPES: dict[str, Callable[[], Suite]] = {
    "demo": demo,
    "smoke": smoke,
    "sprint": sprint,
    "heldout-40": heldout.heldout_40,
    "heldout-8": heldout.heldout_8,
    "heldout-8-width": heldout.heldout_8_width,
    "velodrome-83": functools.partial(_published, "velodrome-83", of_83=True),
    "velodrome-extended": functools.partial(_published, "velodrome-extended", of_83=False),
    "stress-parameters": stress.parameters,
    **{f"stress-steps-{end}": functools.partial(stress.steps, end) for end in stress.STEPS},
    "stress-horizon": stress.horizon,
    "mlcommons-mini": mlcommons.mini,
    "mlcommons-6": mlcommons.of_the_paper,
    "mlcommons-8": mlcommons.all_eight,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the named lists; return the exit status."""
    parser = argparse.ArgumentParser(prog="python scripts/freeze_suites.py", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES))
    for name in parser.parse_args(arguments).names:
        suite = RECIPES[name]()
        path = LISTS / f"{name}.json"
        atomic_write_json(path, suite.to_json())
        print(f"{path}: {len(suite.tasks)} tasks, hash {suite.hash}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
