"""The pool of inner tasks: sampled specs, and the problems drawn from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foundation.canonical import content_hash
from foundation.errors import SpecError
from optimizers.metatrain.config import FIRST_TRAINING_SEED, TasksConfig
from optimizers.metatrain.unroll import Problem
from taskgen import Task, TaskSpec, build, families
from taskgen.data.source import Source, open_source
from taskgen.draws import Draws
from taskgen.sampler import sample
from taskgen.space import config_fields, dynamic_values, sample_config

# How many specs are sampled for each one wanted: some are alike or have an excluded data set.
_OVERSAMPLING = (1, 2, 8)


@dataclass(frozen=True, eq=False)
class InnerTask:
    """A task of the pool with its training data.

    Attributes:
      spec: Its spec; what does not vary is taken from it.
      task: The built task.
      source: Its training data.
      tensors: Number of its parameter tensors.
      vary: Names of the dynamic values that are drawn anew for every problem.
    """

    spec: TaskSpec
    task: Task
    source: Source
    tensors: int
    vary: tuple[str, ...]


def sample_pool(config: TasksConfig, *, seed: int, per_family: int) -> list[TaskSpec]:
    """Returns ``per_family`` specs of each family, no two alike, families taking turns.

    Args:
      config: Families, data, cap.
      seed: Sampler seed, `FIRST_TRAINING_SEED` or more: the smaller ones are for evaluation.
      per_family: Specs of each family.

    Raises:
      SpecError: The seed is reserved, or the sampler does not give enough that are allowed.
    """
    if seed < FIRST_TRAINING_SEED:
        raise SpecError("tasks.seed", seed, f"at least {FIRST_TRAINING_SEED}")
    columns = []
    for family in config.families:
        columns.append(_sample_column(config, seed=seed, family=family, count=per_family))
    return [column[row] for row in range(per_family) for column in columns]


def _sample_column(config: TasksConfig, *, seed: int, family: str, count: int) -> list[TaskSpec]:
    kept: dict[str, TaskSpec] = {}
    for times in _OVERSAMPLING:  # asked for more, the sampler gives the same ones first
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
    """Returns the SHA-256 of the specs of a pool: what the weights' card records."""
    return content_hash([spec.hash for spec in specs])


def open_task(spec: TaskSpec, *, vary: Sequence[str]) -> InnerTask:
    """Builds a task and opens its training data.

    Args:
      spec: The spec.
      vary: Dynamic config fields to draw anew for every problem; those that the family does
        not have are left out.
    """
    task = build(spec)
    params, _ = jax.eval_shape(lambda: task.init(jax.random.key(0)))
    return InnerTask(
        spec=spec,
        task=task,
        source=open_source(spec, "train"),
        tensors=len(jax.tree.leaves(params)),
        vary=tuple(name for name in vary if name in task.dynamic),
    )


def check_vary(vary: Sequence[str], family_names: Sequence[str]) -> None:
    """Raises a SpecError if some name is a dynamic field of no family."""
    known = {
        name
        for family in family_names
        for name, (_, info, _) in config_fields(families.get(family).config).items()
        if info.dynamic
    }
    for name in vary:
        if name not in known:
            raise SpecError("tasks.vary", name, f"among {', '.join(sorted(known))}")


def draw_problems(
    inner: InnerTask,
    draws: Draws,
    *,
    count: int,
    batches: int,
    reparam_probability: float = 0.0,
    reparam_range: float = 1.0,
) -> Problem:
    """Returns ``count`` problems of a task, along a leading axis: a pure function of ``draws``.

    Each has its own initialisation, batches and varied dynamic values. With
    ``reparam_probability`` a problem is stored in other units: all parameters divided by one
    scale, or each tensor by its own (either as likely), log-uniform within ``reparam_range``
    (a wrapper of the published task distribution, Metz et al. 2022, arXiv 2211.09760).
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
    scales = np.stack(
        [
            _scales(row.child("scale"), inner.tensors, reparam_probability, reparam_range)
            for row in rows
        ]
    )
    return Problem(
        key=keys,
        indices=jnp.asarray(indices),
        dynamic=_dynamic(inner, rows),
        scales=jnp.asarray(scales),
    )


def _dynamic(inner: InnerTask, rows: Sequence[Draws]) -> dict[str, Any]:
    cls = type(inner.spec.config)
    sampled = [dynamic_values(sample_config(cls, row.child("dynamic"))) for row in rows]
    return {name: jnp.asarray([values[name] for values in sampled]) for name in inner.vary}


def _scales(draws: Draws, tensors: int, probability: float, widest: float) -> np.ndarray:
    if draws.unit("stored in other units") >= probability:
        return np.ones(tensors, np.float32)
    shared = draws.unit("one for all") < 0.5
    names = [0 if shared else tensor for tensor in range(tensors)]
    exponents = [2.0 * draws.child(name).unit("exponent") - 1.0 for name in names]
    return np.float32(widest) ** np.asarray(exponents, np.float32)
