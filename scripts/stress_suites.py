"""The suites that go where VeLO is said to fail: large networks, long runs, wrong declarations.

The paper (Metz et al. 2022, arXiv 2211.09760) names networks over 500 million parameters and runs
over 200,000 steps. ``python scripts/freeze_suites.py stress-parameters`` and so on write the lists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from scripts import choose_heldout as heldout
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.description import cost
from velodrome.taskgen.spec import TaskSpec

RATES = heldout.FEW_RATES
SEEDS = 3

#: Width and layers of decoders, in heads of 64; and width and hidden layers of MLPs.
DECODERS = ((128, 5), (256, 5), (512, 5), (1024, 5), (1792, 6), (2560, 7), (3072, 12))
MLPS = ((512, 4), (1024, 4), (2048, 4), (4096, 4), (8192, 4), (8192, 9), (16_384, 5))
_HEAD = 64

#: Steps of ``stress-steps-N``, by the end of the name. VeLO was meta-trained for up to 150,000 and
#: averages gradients over several steps in longer runs.
STEPS = {"2k": 2_000, "20k": 20_000, "100k": 100_000, "200k": 200_000, "400k": 400_000}
#: Evaluations of the candidates: as many at every length, so that curves are smoothed alike.
EVALUATIONS = 200

FACTORS = ("0.25", "0.5", "2", "4")


def parameters() -> Suite:
    """Return decoders and MLPs of 1 million to over 1 billion parameters.

    All decoders see the same 256 tokens in a step, and all MLPs the same 32 images.
    """
    return Suite(
        name="stress-parameters",
        tasks=(*_decoders(), *_mlps()),
        protocol=_protocol(2_000, eval_every=20, heldout_every=200, eval_examples=64),
        optimizers=("adam", "velo"),
    )


def _decoders() -> Iterator[TaskSpec]:
    for width, layers in DECODERS:
        config = {
            "d_model_per_head": _HEAD,
            "num_heads": width // _HEAD,
            "key_size": _HEAD,
            "num_layers": layers,
            "sequence_length": 32,
            "vocab_size": 128,
            "dropout": 0.0,
        }
        yield _named("decoder", TaskSpec("transformer", config, DataSpec("kjv"), 8))


def _mlps() -> Iterator[TaskSpec]:
    for width, layers in MLPS:
        config = {"hidden_size": width, "num_layers": layers, "image_size": 28}
        yield _named("mlp", TaskSpec("mlp", config, DataSpec("mnist5k", shift=3), 32))


def _named(kind: str, spec: TaskSpec) -> TaskSpec:
    """Name a task by its kind and its parameters: ``decoder-63m``."""
    return dataclasses.replace(spec, name=f"{kind}-{round(cost(spec).params / 1e6)}m")


def steps(end: str) -> Suite:
    """Return three small tasks to be run for one of `STEPS`; the tasks are the same in all."""
    total = STEPS[end]
    every = total // EVALUATIONS
    return Suite(
        name=f"stress-steps-{end}",
        tasks=_small(),
        protocol=_protocol(total, eval_every=every, heldout_every=10 * every, eval_examples=512),
        optimizers=("adam", "velo"),
    )


def _small() -> tuple[TaskSpec, ...]:
    """Return networks that are too small to learn their data by heart in any time."""
    mlp = {"hidden_size": 16, "num_layers": 1, "image_size": 14}
    cnn = {"hidden_size": 8, "num_layers": 2, "num_stride2": 2, "image_size": 8}
    gru = {
        "cell": "gru",
        "rnn_size": 16,
        "embed_size": 8,
        "sequence_length": 16,
        "vocab_size": 128,
    }
    return (
        TaskSpec("mlp", mlp, DataSpec("mnist5k", shift=1), 16, name="small-mlp"),
        TaskSpec("cnn", cnn, DataSpec("photos", shift=1, flip=True), 16, name="small-cnn"),
        TaskSpec("rnn", gru, DataSpec("kjv"), 8, name="small-gru"),
    )


def horizon() -> Suite:
    """Return the tasks of ``heldout-8`` with 1/4 to 4 times the true steps declared to VeLO."""
    wrong = tuple(f"horizon:{factor}:velo" for factor in FACTORS)
    few = heldout.heldout_8()
    return dataclasses.replace(few, name="stress-horizon", optimizers=("adam", "velo", *wrong))


def _protocol(total: int, *, eval_every: int, heldout_every: int, eval_examples: int) -> Protocol:
    return Protocol(
        steps=total,
        seeds=SEEDS,
        baseline_multiple=2,
        eval_every=eval_every,
        heldout_every=heldout_every,
        eval_examples=eval_examples,
        learning_rates=RATES,
    )
