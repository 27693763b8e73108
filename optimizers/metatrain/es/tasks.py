"""The pool of inner tasks: sampled specs, and the problems drawn from each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError, UnknownNameError
from velodrome.optimizers.metatrain.config.inner import FIRST_TRAINING_SEED, TasksConfig
from velodrome.optimizers.metatrain.es.unroll import Problem
from velodrome.taskgen.augmentation import Augmentation, sample_augmentations
from velodrome.taskgen.build import build, open_source
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.source import Source
from velodrome.taskgen.registry import families
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.space.config import dynamic_values, sample_config
from velodrome.taskgen.space.distributions import log_int
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import config_fields
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task

# How many specs are sampled for each one wanted: some are alike or have an excluded data set.
_OVERSAMPLING = (1, 2, 8)

# Lengths are rounded to a multiple of this, so that a horizon means the same in logs.
_LENGTH_STEP = 10


@dataclass(frozen=True, eq=False)
class InnerTask:
    """A task of the pool with its training data.

    Every problem draws the dynamic values in ``vary``; all others are those of ``spec``.
    """

    spec: TaskSpec
    task: Task
    source: Source
    vary: tuple[str, ...]


def sample_pool(config: TasksConfig, *, seed: int, per_family: int) -> list[TaskSpec]:
    """Return ``per_family`` specs of each family, no two alike, families taking turns.

    The sampler's ``seed`` is `FIRST_TRAINING_SEED` or more: the smaller ones are for evaluation.

    Raises:
      SpecError: The seed is reserved, or the sampler does not give enough that are allowed.
      UnknownNameError: There is no data set of an excluded name.
    """
    if seed < FIRST_TRAINING_SEED:
        raise SpecError("tasks.seed", seed, f"at least {FIRST_TRAINING_SEED}")
    for name in config.exclude_data:
        if name not in datasets:
            raise UnknownNameError("data set in tasks.exclude_data", name, datasets)
    columns = []
    for family in config.families:
        columns.append(_sample_column(config, seed=seed, family=family, count=per_family))
    return [column[row] for row in range(per_family) for column in columns]


def augmented(spec: TaskSpec, config: TasksConfig) -> TaskSpec:
    """Return the spec with augmentations drawn with the config's probabilities."""
    draws = NamedRng(config.seed, "augmentations", spec.spec_hash)
    chosen = sample_augmentations(draws, spec.family, config.augmentations)
    return dataclasses.replace(spec, augmentations=chosen)


def _sample_column(config: TasksConfig, *, seed: int, family: str, count: int) -> list[TaskSpec]:
    kept: dict[str, TaskSpec] = {}
    for times in _OVERSAMPLING:  # a larger sample begins with the smaller one
        drawn = sample(
            count * times,
            seed=seed,
            family=family,
            data=config.data,
            max_mflop=config.max_mflop,
        )
        kept = {
            spec.static_hash: spec for spec in drawn if spec.data.name not in config.exclude_data
        }
        if len(kept) >= count:
            return list(kept.values())[:count]
    raise SpecError(
        "tasks.per_family",
        count,
        f"at most {len(kept)} for the family {family!r} with these data sets and this cap",
    )


def pool_hash(specs: Sequence[TaskSpec]) -> str:
    """Return the SHA-256 of the specs of a pool, which the weights' card records."""
    return content_hash([spec.hash for spec in specs])


def open_task(spec: TaskSpec, *, vary: Sequence[str]) -> InnerTask:
    """Build a task and open its training data; of ``vary`` it keeps what its family has."""
    task = build(spec)
    return InnerTask(
        spec=spec,
        task=task,
        source=open_source(spec, "train"),
        vary=tuple(name for name in vary if name in task.dynamic),
    )


def check_vary(vary: Sequence[str], family_names: Sequence[str]) -> None:
    """Raise a SpecError if some name is a dynamic field of no family."""
    known = {
        name
        for family in family_names
        for name, (_, info, _) in config_fields(families.get(family).config).items()
        if info.dynamic
    }
    for name in vary:
        if name not in known:
            raise SpecError("tasks.vary", name, f"among {', '.join(sorted(known))}")


def draw_length(draws: NamedRng, low: int, high: int) -> int:
    """Return a log-uniform length, a multiple of 10 if that is not below ``low``."""
    length = log_int(low, high + 1).sample(draws, "length")
    return max(low, length - length % _LENGTH_STEP)


def draw_problems(inner: InnerTask, draws: NamedRng, *, count: int, batches: int) -> Problem:
    """Return ``count`` problems of a task, along a leading axis: a pure function of ``draws``.

    Problems differ in their initialisation, batches, varied dynamic values, and dynamic values of
    the task's augmentations.
    """
    rows = [draws.child(row) for row in range(count)]
    # 32 bits: what a PRNG key takes without 64-bit mode.
    keys = jnp.stack([jax.random.key(row.word("key") >> 32) for row in rows])
    indices = np.stack(
        [
            inner.source.indices(row.word("data") >> 32, 0, batches, inner.spec.batch_size)
            for row in rows
        ]
    )
    return Problem(key=keys, indices=jnp.asarray(indices), dynamic=_dynamic(inner, rows))


def _dynamic(inner: InnerTask, rows: Sequence[NamedRng]) -> dict[str, jax.Array]:
    cls = type(inner.spec.config)
    sampled = [dynamic_values(sample_config(cls, row.child("dynamic"))) for row in rows]
    columns = {name: [values[name] for values in sampled] for name in inner.vary}
    for entry in inner.spec.augmentations:
        drawn = [
            Augmentation(
                entry.name, sample_config(type(entry.config), row.child("augment", entry.name))
            ).dynamic
            for row in rows
        ]
        columns.update({name: [values[name] for values in drawn] for name in entry.dynamic})
    return {
        name: jnp.asarray(values, jnp.float32 if type(values[0]) is float else None)
        for name, values in columns.items()
    }
