"""From a spec to a Task; from a family's network and objective to a Task."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.cost.tracing import traced_cost
from velodrome.taskgen.description import cost, dataset_info
from velodrome.taskgen.family import Family, TextView
from velodrome.taskgen.nn import losses
from velodrome.taskgen.space.config import dynamic_values
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task
from velodrome.taskgen.wrappers.apply import augment

_OBJECTIVES = {"image": losses.classification, "text": losses.language_model}
_NORMALIZERS = {
    "image": losses.normalize_classification,
    "text": losses.normalize_language_model,
}


def build(spec: TaskSpec) -> Task:
    """Builds the task of a spec; the same spec gives the same object, so programs are reused.

    Args:
      spec: The spec.

    Returns:
      The task. No data are loaded.

    Raises:
      UnknownNameError: There is no such data set.
      SpecError: The data set is not of the kind that the family trains on.
    """
    return _build(spec, spec.family_object)


@functools.lru_cache(maxsize=64)
def _build(spec: TaskSpec, family: Family) -> Task:  # by family: a notebook may define it anew
    plain = dataclasses.replace(spec, augmentations=()) if spec.augmentations else spec
    task = family.build(plain, dataset_info(plain))
    if not spec.augmentations:
        return task
    return dataclasses.replace(augment(task, spec.augmentations), spec=spec, cost=cost(spec))


def build_network_task(
    family: Family, spec: TaskSpec, info: Any, *, cost: Cost | None = None
) -> Task:
    """Builds the task of a family that has a network.

    Args:
      family: The family of the spec, with a network.
      spec: The spec.
      info: The ``DatasetInfo`` of the spec's data set.
      cost: The cost of a step, if it is known; else the family's.
    """
    network = family.network
    assert network is not None  # Family checks that what has no network builds itself
    config = spec.config
    view = family.view(config, info)
    constants = dynamic_values(config)
    objective = family.objective or _OBJECTIVES[family.data_kind]
    normalizer = family.normalize or _NORMALIZERS[family.data_kind]
    preprocess = _inputs_of(family.data_kind)

    def values(dynamic: Any) -> dict[str, Any]:
        return {**constants, **(dynamic or {})}

    # Set here, because a GPU may round products to TF32 by default.
    precision = functools.partial(jax.default_matmul_precision, spec.precision.matmul)

    def make(key: Any, dynamic: Any) -> Any:
        return network(config, view, rngs=nnx.Rngs(key), dynamic=values(dynamic))

    # The structure, once, without computing anything; parameters and state come and go as dicts.
    abstract = nnx.eval_shape(lambda: make(jax.random.key(0), None))
    graph, *abstract_values = nnx.split(abstract, nnx.Param, ...)
    shapes = tuple(nnx.to_pure_dict(values) for values in abstract_values)
    accepted = _keywords(abstract)

    def init(key: Any, dynamic: Any = None) -> tuple[Any, Any]:
        with precision():
            _, params, state = nnx.split(make(key, dynamic), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def apply(params: Any, state: Any, key: Any, batch: Any, train: bool, dynamic: Any):
        module = nnx.merge(graph, params, state)
        given = {"train": train, "key": key, "dynamic": values(dynamic)}
        with precision():
            logits = module(preprocess(batch, view), **{name: given[name] for name in accepted})
        _, _, new_state = nnx.split(module, nnx.Param, ...)
        return logits, nnx.to_pure_dict(new_state)

    def loss(
        params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None
    ) -> tuple[Any, Any]:
        logits, new_state = apply(params, state, key, batch, train, dynamic)
        total, count = objective(logits, batch, view)["loss"]
        return total / count, new_state

    def metrics(
        params: Any,
        state: Any,
        key: Any,
        batch: Any,
        *,
        train: bool = False,
        dynamic: Any = None,
    ) -> dict[str, tuple[Any, Any]]:
        logits, _ = apply(params, state, key, batch, train, dynamic)
        return objective(logits, batch, view)

    return Task(
        spec=spec,
        dynamic=constants,
        cost=cost or family.cost(spec, info),
        init=init,
        loss=loss,
        normalize=lambda value: normalizer(value, view),
        metrics=metrics,
        shapes=shapes,
    )


def trace_network_cost(family: Family, spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step by tracing the task, for a family without a closed form."""
    unknown = Cost(flops=0, bytes=0, params=0, activation_bytes=0, eval_flops_per_example=0)
    task = build_network_task(family, spec, info, cost=unknown)
    return traced_cost(task.shapes, task.loss, batch_shapes(family, spec, info))


def batch_shapes(family: Family, spec: TaskSpec, info: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shapes and types of a training batch of ``spec``."""
    view, rows = family.view(spec.config, info), spec.batch_size
    if isinstance(view, TextView):
        tokens = jax.ShapeDtypeStruct((rows, view.length), jnp.int32)
        return {"obs": tokens, "target": tokens}
    image = jax.ShapeDtypeStruct((rows, view.size, view.size, view.channels), jnp.float32)
    return {"image": image, "label": jax.ShapeDtypeStruct((rows,), jnp.int32)}


def _inputs_of(kind: str) -> Any:
    if kind == "image":
        return lambda batch, view: batch["image"]
    return lambda batch, view: losses.fold_tokens(batch["obs"], view.vocab_size)


def _keywords(module: Any) -> tuple[str, ...]:
    """Returns which of train, key and dynamic the network's ``__call__`` takes."""
    parameters = inspect.signature(type(module).__call__).parameters.values()
    names = {parameter.name for parameter in parameters}
    everything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return tuple(name for name in ("train", "key", "dynamic") if everything or name in names)
