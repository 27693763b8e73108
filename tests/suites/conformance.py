"""How our published tasks compare with the facts of the original ones.

``python tests/suites/conformance.py docs/reference/conformance.md`` checks all tasks and writes the
table. It
takes about an hour; what it has found is kept beside the page until that is written, so that the
same command resumes after an interruption.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import velodrome
from velodrome.contracts.task import prepare
from velodrome.foundation.files import atomic_write_text
from velodrome.suites.published.tasks import NOT_HERE, group_of, in_83, published_tasks
from velodrome.taskgen.cost.tracing import traced_cost
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task
from velodrome.taskgen.views import ImageView, TextView

FACTS = json.loads((Path(__file__).parent / "velodrome_facts" / "tasks.json").read_text())["tasks"]

#: Mean and standard deviation of the pixels of each data set, in [0, 1], as commonly given.
PIXELS = {
    "mnist": (0.131, 0.308),
    "fashion_mnist": (0.286, 0.353),
    "cifar10": (0.473, 0.252),
    "cifar100": (0.478, 0.268),
    "food101_64": (0.48, 0.27),
    "imagenet16": (0.45, 0.25),
    "imagenet32": (0.45, 0.26),
    "imagenet64": (0.45, 0.27),
}

#: Pixels of made-up images are equal in squares of this size, as neighbours are nearly in real
#: ones: averages over an image would be far too even otherwise.
BLOCK = 4

STEPS = 3
LEARNING_RATE = 1e-3
SEEDS = 3


@dataclass(frozen=True)
class Start:
    """The beginning of training a task.

    Attributes:
      initial: Mean over seeds of the loss at initialisation, on made-up data.
      finite: Whether losses, gradients and parameters stayed finite over the steps.
      moved: Whether every step changed the parameters.
    """

    initial: float
    finite: bool
    moved: bool


def made_up_batch(spec: TaskSpec, seed: int, batch_size: int) -> dict[str, Any]:
    """Return a batch whose pixels have the moments of the task's data set; text is uniform."""
    subject = prepare(dataclasses.replace(spec, batch_size=batch_size))
    generator = np.random.Generator(np.random.Philox(seed))
    batch: dict[str, Any] = subject.batch(seed)
    info = velodrome.datasets.get(spec.data.name).info
    if info.kind != "image":
        # Neither padding nor the other special tokens.
        return {
            name: jnp.asarray(generator.integers(3, info.vocab_size, leaf.shape), jnp.int32)
            for name, leaf in batch.items()
        }
    mean, std = PIXELS[spec.data.name]
    concentration = mean * (1 - mean) / std**2 - 1
    for name, leaf in batch.items():
        if leaf.dtype != jnp.float32:
            continue
        *rest, height, width, channels = leaf.shape
        shape = (*rest, -(-height // BLOCK), -(-width // BLOCK), channels)
        coarse = generator.beta(mean * concentration, (1 - mean) * concentration, shape)
        image = coarse.repeat(BLOCK, axis=-3).repeat(BLOCK, axis=-2)[..., :height, :width, :]
        batch[name] = jnp.asarray(image, jnp.float32)
    return batch


def start_of(spec: TaskSpec, *, batch_size: int, seeds: int = SEEDS) -> Start:
    """Initialise a task with some seeds, and train the first for a few steps of Adam."""
    spec = dataclasses.replace(spec, batch_size=batch_size)
    task = velodrome.build(spec)
    optimizer = optax.adam(LEARNING_RATE)

    def run(key: jax.Array, batches: Any) -> Any:
        params, state = task.init(key)
        opt_state = optimizer.init(params)

        def step(carry: Any, batch: Any) -> Any:
            params, state, opt_state = carry

            def loss(params: Any) -> Any:
                return task.loss(params, state, key, batch, train=True)

            (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(params)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            moved = jnp.stack([jnp.any(leaf != 0) for leaf in jax.tree.leaves(updates)]).any()
            finite = jnp.isfinite(value) & _finite(gradient)
            params = optax.apply_updates(params, updates)
            return (params, state, opt_state), (value, finite, moved)

        (params, _, _), found = jax.lax.scan(step, (params, state, opt_state), batches)
        return *found, _finite(params)

    # Compiled once and run seed by seed: a vmap over parameters may be slow on CPUs.
    quick = jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})
    initial, fine, moving = [], True, True
    for seed in range(seeds):
        batches = [made_up_batch(spec, 100 * seed + step, batch_size) for step in range(STEPS)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
        values, finite, moved, end = quick(jax.random.key(seed), stacked)
        initial.append(float(values[0]))
        fine = fine and bool(jnp.all(finite)) and bool(end)
        moving = moving and bool(jnp.all(moved))
    return Start(float(np.mean(initial)), fine, moving)


def _finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def flops_error(spec: TaskSpec) -> float:
    """Return how far the closed form of a step's FLOPs is off the traced program's."""
    subject = prepare(spec)
    task: Task = subject.task
    shapes = task.shapes or jax.eval_shape(task.init, jax.random.key(0))
    return task.cost.flops / traced_cost(shapes, task.loss, subject.shapes).flops - 1


def parameters_of(spec: TaskSpec) -> tuple[int, int]:
    """Return the number of parameters by the closed form, and in the task's own arrays."""
    task = velodrome.build(spec)
    params, _ = task.shapes or jax.eval_shape(task.init, jax.random.key(0))
    return task.cost.params, sum(leaf.size for leaf in jax.tree.leaves(params))


def published_loss(name: str) -> float | None:
    """Return the first loss of the published curve of Adam, or of four optimizers; None if no
    curve is published.
    """
    losses = FACTS[name]["loss_0"]
    return losses["four_optimizers"] if losses["adam"] is None else losses["adam"]


def uniform_guess(spec: TaskSpec) -> float | None:
    """Return the loss of guessing evenly, ln(classes); None where that is not the loss."""
    view = spec.view
    if getattr(view, "loss", "cross_entropy") != "cross_entropy" or spec.family == "autoencoder":
        return None
    if isinstance(view, TextView):
        return math.log(view.vocab_size)
    assert isinstance(view, ImageView), "the published tasks train on images and text"
    return math.log(view.num_classes)


def batch_size_for(spec: TaskSpec) -> int:
    """Return a batch size at which a step is cheap, and the initial loss well enough known."""
    if group_of(spec.name) == "learned_optimizer":
        return spec.batch_size  # a batch is all the data of an unrolled inner training
    cost = velodrome.cost(spec)
    affordable = int(2e9 * spec.batch_size / cost.flops)
    return max(4, min(spec.batch_size, 64, affordable))


def rows(names: Iterable[str], *, say: Any = print) -> Iterable[list[str]]:
    """Check tasks one after the other; yield a row of the table for each."""
    for name in names:
        spec = published_tasks()[name]
        closed, found = parameters_of(spec)
        facts = FACTS[name]["params"]
        counted = "equal" if closed == found == facts else f"{closed:,}, {found:,}: DIFFERENT"
        error = flops_error(spec)
        size = batch_size_for(spec)
        start = start_of(spec, batch_size=size)
        trained = "finite" if start.finite and start.moved else "NOT FINITE OR AT REST"
        expected, published = uniform_guess(spec), published_loss(name)
        jax.clear_caches()  # the programs of a task are of no use to the next
        row = [
            name,
            group_of(name),
            "83" if in_83(name) else "extended",
            f"{facts:,}",
            counted,
            f"{error:+.1%}",
            f"{start.initial:.4g}",
            "" if published is None else f"{published:.4g}",
            "" if expected is None else f"{expected:.4g}",
            trained,
        ]
        say(" | ".join(row))
        yield row


def kept_rows(names: Iterable[str], found: Path, *, say: Any = print) -> list[list[str]]:
    """Return the rows of tasks; those that ``found`` already has are not checked again.

    Args:
      found: A line of JSON for each row, which is written as soon as the task is checked; rows of
        other specs and of other versions of jax do not count, nor does half a line.
      say: Is called with each new row.
    """
    known = {}
    for line in found.read_text(encoding="utf-8").splitlines() if found.is_file() else ():
        with contextlib.suppress(ValueError, KeyError):
            record = json.loads(line)
            known[tuple(record["of"])] = record["row"]
    made = []
    for name in names:
        key = (published_tasks()[name].hash, jax.__version__)
        if key not in known:
            (known[key],) = rows([name], say=say)
            with found.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps({"of": key, "row": known[key]}) + "\n")
        made.append(known[key])
    return made


HEADER = (
    "task", "group", "suite", "parameters", "ours", "FLOPs, closed form to traced", "first loss",
    "published", "ln(classes)", f"{STEPS} steps of Adam",
)  # fmt: skip

UNCHECKED = "**Not trained for this table**"

TEXT = """\
# Conformance of the published tasks

`make conformance` made this page on {date}, with jax {jax} on {device}. It checks {count} of the {total}
published tasks that are implemented. Not implemented are {missing}.

- **parameters**: the published count. **ours** is "equal" if our closed form and the arrays of the
  built task both have this count.
- **FLOPs**: how far our closed form of a training step is from the program that jax traces.
- **first loss**: our loss at initialisation, the mean of {seeds} seeds, on made-up data. These are
  blocky images whose pixels have the mean and the deviation of the data set's, or uniform tokens.
- **published**: the first value of the published envelope of Adam. The 12 tasks that have no such
  envelope show that of four optimizers, and seven have neither. It is the minimum over rates, and
  so a little lower. On real data our loss would be closer. Where the data matter (autoencoders,
  squared error), only the scale can agree.
- **{steps} steps**: losses, gradients and parameters are finite, and every step moves the
  parameters.
{unchecked}
{table}
"""  # noqa: E501 - a page, whose lines are wrapped where its numbers are filled in


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table of all tasks; return 1 if something does not conform."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="names that contain this")
    chosen = parser.parse_args(arguments)
    jax.config.update("jax_default_matmul_precision", "highest")
    names = [name for name in published_tasks() if chosen.only in name]
    found = chosen.out.with_suffix(".found.jsonl")
    text = document(kept_rows(names, found))
    atomic_write_text(chosen.out, text)
    found.unlink(missing_ok=True)
    return int("DIFFERENT" in text or "NOT FINITE" in text)


def document(made: Sequence[Sequence[str]]) -> str:
    """Return the page with these rows, as Markdown."""
    lines = [list(HEADER), ["---"] * len(HEADER), *made]
    there = {row[0] for row in made}
    absent = [name for name in published_tasks() if name not in there]
    unchecked = ""
    if absent:
        unchecked = (
            f"\n{UNCHECKED} (their parameters and costs are checked by the tests, like those of "
            f"all): {', '.join(absent)}.\n"
        )
    return TEXT.format(
        date=datetime.date.today().isoformat(),
        jax=jax.__version__,
        device=jax.devices()[0].device_kind,
        count=len(made),
        total=len(published_tasks()),
        missing=", ".join(NOT_HERE),
        unchecked=unchecked,
        seeds=SEEDS,
        steps=STEPS,
        table="\n".join("| " + " | ".join(line) + " |" for line in lines),
    )


if __name__ == "__main__":
    sys.exit(main())
