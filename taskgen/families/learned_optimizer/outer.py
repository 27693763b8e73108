"""What the families that train a learned optimizer share: the family, its task, and its cost.

The outer problem is the training of the rule; :mod:`velodrome.taskgen.families.learned_optimizer.inner` is what the
rule trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost
from velodrome.taskgen.families.learned_optimizer import inner as _inner_problem
from velodrome.taskgen.family import Family
from velodrome.taskgen.space.config import dynamic_values, log_int
from velodrome.taskgen.spec import TaskSpec

_SHRINK = {
    "hidden_size": 8,
    "rule_hidden_size": 2,
    "inner_batch_size": 4,
    "unroll_length": 2,
    "problems": 1,
    "image_size": 4,
    "batch_size": 128,
}


def outer_family(
    name: str,
    config: type[_inner_problem.InnerConfig],
    *,
    build: Callable[[TaskSpec, Any], Any],
    cost: Callable[[TaskSpec, Any], Cost],
) -> Family:
    """Returns a family whose tasks see data as their inner problem does.

    Args:
      name: As for :class:`Family`, and so are the others.
      config: With ``unroll_length`` and ``problems`` besides the inner problem's fields.
      build: ``build(spec, dataset_info)`` returns the task, see :func:`outer_task`.
      cost: ``cost(spec, dataset_info)``, see :func:`outer_cost`.
    """
    return Family(
        name=name,
        config=config,
        view=_inner_problem.view,
        batch_size=log_int(128, 1024),
        cost=cost,
        build=build,
        shrink=_SHRINK,
    )


def outer_task(
    spec: TaskSpec,
    info: Any,
    *,
    cost: Cost,
    init: Callable[..., tuple[Any, Any]],
    loss: Callable[..., tuple[Any, Any]],
) -> Any:
    """Returns the :class:`~velodrome.taskgen.task.Task` of an initialisation and a loss.

    Its only metric is the loss, and its normaliser that of the inner classification.

    Args:
      spec: The spec.
      info: The ``DatasetInfo`` of the spec's data set.
      cost: The cost of a step.
      init: As in the task.
      loss: As in the task: a mean of inner losses in nats.
    """
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    from velodrome.taskgen.nn import losses
    from velodrome.taskgen.task import Task

    seen = _inner_problem.view(spec.config, info)

    def metrics(
        params: Any, state: Any, key: Any, batch: Any, *, train: bool = False, dynamic: Any = None
    ) -> dict[str, tuple[Any, Any]]:
        value, _ = loss(params, state, key, batch, train=train, dynamic=dynamic)
        return {"loss": (value, jnp.ones(()))}

    return Task(
        spec=spec,
        dynamic=dynamic_values(spec.config),
        cost=cost,
        init=init,
        loss=loss,
        normalize=lambda value: losses.normalize_classification(value, seen),
        metrics=metrics,
        shapes=jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0))),
    )


def outer_cost(
    spec: TaskSpec,
    info: Any,
    step: _inner_problem.StepCost,
    *,
    flops: int,
    evaluation_flops: int,
    floats_moved: int,
    floats_kept: int,
    kernels: int,
) -> Cost:
    """Returns the cost of a step, with the batch added.

    Args:
      spec: The spec.
      info: The ``DatasetInfo`` of the spec's data set.
      step: The cost of an inner step.
      flops: FLOPs of an outer step.
      evaluation_flops: FLOPs of an evaluation on a batch.
      floats_moved: Numbers read and written in an outer step, without the batch.
      floats_kept: Numbers alive at once, without the batch.
      kernels: As in :class:`Cost`.
    """
    batch = spec.batch_size * (_inner_problem.view(spec.config, info).pixels + 1)
    return Cost(
        flops=flops,
        bytes=BYTES_PER_FLOAT * (floats_moved + 2 * batch),
        params=step.weights,
        activation_bytes=BYTES_PER_FLOAT * (floats_kept + batch),
        eval_flops_per_example=evaluation_flops // spec.batch_size,
        kernels=kernels,
    )
