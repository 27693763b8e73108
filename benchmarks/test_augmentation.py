"""Share of a training step that varying its images takes.

``pytest benchmarks/test_augmentation.py --benchmark-enable -s``. The tasks are those of
``mlcommons-mini``, with the crops and distortions of the full workloads, and ViT-S/16 at its full
size. Blocks of steps are gathered, and trained on, as the runner does it.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.suites.catalog import load_suite
from velodrome.taskgen.build import build, open_source
from velodrome.taskgen.data.gather import as_floats
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

CROPPED = DataSpec("photos", crop=0.08, flip=True)
DISTORTED = dataclasses.replace(CROPPED, randaugment=2)


@pytest.mark.parametrize(
    ("family", "data", "batch_size"),
    [("resnet50", CROPPED, 8), ("vit_s16", DISTORTED, 4), ("vit_s16", DISTORTED, 64)],
)
def test_share_of_a_small_step(benchmark, family: str, data: DataSpec, batch_size: int):
    task = next(task for task in load_suite("mlcommons-mini").tasks if task.family == family)
    spec = dataclasses.replace(task, data=data, batch_size=batch_size)
    _measure(benchmark, spec, steps=50, rounds=15, most=0.7)


def test_share_of_a_full_step(benchmark):
    sizes = {"train": 16, "heldout": 16}
    pixels = np.random.Philox(key=0).random_raw(16 * 256 * 256 * 3) % 256
    arrays = {
        "image": pixels.astype(np.uint8).reshape(16, 256, 256, 3),
        "label": np.arange(16, dtype=np.int32),
    }
    info = DatasetInfo(
        "noise256", "image", "none needed", "generated: noise", "stand-in",
        shape=(256, 256, 3), num_classes=1000, split_sizes=sizes,
    )  # fmt: skip
    with datasets.temporarily(info.name, Dataset(info, lambda split: arrays)):
        data = dataclasses.replace(DISTORTED, name=info.name)
        _measure(
            benchmark,
            TaskSpec("vit_s16", {"mixup": 0.2}, data, 8, name="full-size"),
            steps=1,
            rounds=3,
            most=0.1,
        )


def _measure(benchmark, spec: TaskSpec, *, steps: int, rounds: int, most: float) -> None:
    plain = dataclasses.replace(spec, data=DataSpec(spec.data.name))
    arms = [_gather(spec, steps), _gather(plain, steps)]
    arms.append(_train(spec, arms[0]()))
    for arm in arms:
        jax.block_until_ready(arm())  # compiled

    def take_turns() -> list[tuple[float, ...]]:
        return [tuple(_seconds(arm) for arm in arms) for _ in range(rounds)]

    found = benchmark.pedantic(take_turns, rounds=1)
    varied, gathered, trained = (
        statistics.median(column) / steps for column in zip(*found, strict=True)
    )
    share = (varied - gathered) / (trained + varied)
    print(
        f"\n{spec.label}, batch {spec.batch_size}: a step "
        f"{trained * 1e3:.2f} ms, its batch {varied * 1e3:.2f} ms, {gathered * 1e3:.2f} ms without "
        f"changes: they are {share:.1%} of the whole"
    )
    benchmark.extra_info.update(share=share)
    assert share < most


def _seconds(arm: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(arm())
    return time.perf_counter() - start


def _gather(spec: TaskSpec, steps: int) -> Callable[[], object]:
    """Return a function that makes the batches of some steps."""
    source = open_source(spec, "train")
    arrays, places = source.block(source.indices(0, 0, steps, spec.batch_size))

    @jax.jit
    def gather(arrays, places, key):
        def one(rows, key):
            return source.gather_stored(arrays, rows, key, augment=True)

        return jax.vmap(one)(places, jax.random.split(key, steps))

    return lambda: gather(arrays, places, jax.random.key(0))


def _train(spec: TaskSpec, batches: object) -> Callable[[], object]:
    """Return a function that takes as many steps of Adam."""
    task, adam = build(spec), optax.adam(1e-3)
    params, state = task.init(jax.random.key(0))

    @jax.jit
    def train(params, state, batches):
        def step(carry, batch):
            params, state, memory, at = carry
            key = jax.random.fold_in(jax.random.key(1), at)
            (_, state), slope = jax.value_and_grad(task.loss, has_aux=True)(
                params, state, key, as_floats(batch), train=True
            )
            updates, memory = adam.update(slope, memory, params)
            return (optax.apply_updates(params, updates), state, memory, at + 1), None

        start = params, state, adam.init(params), jnp.zeros((), jnp.int32)
        return jax.lax.scan(step, start, batches)[0][0]

    return lambda: train(params, state, batches)
