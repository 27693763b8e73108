"""From a family's network to the functions of a task."""

from __future__ import annotations

import functools
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import PyTree

from velodrome.foundation.errors import VelodromeError
from velodrome.taskgen.accumulation import in_parts
from velodrome.taskgen.corpus import CorpusMetrics, Model
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.cost.tracing import traced_cost
from velodrome.taskgen.family import Family
from velodrome.taskgen.functions import Batch, Corpus, Dynamic, Metrics, Scalar, TaskFunctions
from velodrome.taskgen.mixed_precision import Kind, in_bfloat16
from velodrome.taskgen.schema import View
from velodrome.taskgen.space.config import dynamic_values


def task_functions(
    family: Family,
    config: object,
    view: View,
    precision: str,
    *,
    compute: str = "float32",
    part: int | None = None,
) -> TaskFunctions:
    """Return the functions of a family's task.

    Args:
      precision: That of matrix products.
      compute: The format of activations; another than float32 takes a family with a network.
      part: How many examples of a batch go through the network together; None is all. A number
        takes a family with a network.
    """
    build = _function(family, "build")
    if build is None:
        return _network_functions(family, config, view, precision, compute, part)
    made = build(config, view, precision)
    if not isinstance(made, TaskFunctions):
        raise VelodromeError(
            f"build of the family {family.name!r} returns a {type(made).__name__}, but must return "
            "velodrome.taskgen.functions.TaskFunctions."
        )
    return made


def _function(family: Family, field: str) -> Callable[..., Any] | None:
    """Return a function of a family, imported if it is given as a string."""
    function = getattr(family, field)
    return None if function is None else _resolved(family, field, function)


def _resolved(family: Family, field: str, function: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(function, str):
        return function
    try:
        return pkgutil.resolve_name(function)
    except (ImportError, AttributeError, ValueError) as error:
        raise VelodromeError(
            f"{field} of the family {family.name!r} cannot be loaded from {function!r}: {error}."
        ) from error


def _network_functions(
    family: Family, config: object, view: View, precision: str, compute: str, part: int | None
) -> TaskFunctions:
    network = _function(family, "network")
    assert network is not None  # Family checks that what has no network builds itself
    objective = _function(family, "objective") or pkgutil.resolve_name(view.objective)
    normalize = _function(family, "normalize") or pkgutil.resolve_name(view.normalizer)
    seen = pkgutil.resolve_name(view.inputs)
    constants = dynamic_values(config)

    def values(dynamic: Dynamic | None) -> dict[str, Scalar]:
        return {**constants, **(dynamic or {})}

    # Set here, because a GPU may round products to TF32 by default.
    exactly = functools.partial(jax.default_matmul_precision, precision)

    def make(key: jax.Array, dynamic: Dynamic | None) -> nnx.Module:
        return network(config, view, rngs=nnx.Rngs(key), dynamic=values(dynamic))

    # The structure, once, without computing anything; parameters and state come and go as dicts.
    abstract = nnx.eval_shape(lambda: make(jax.random.key(0), None))
    graph, *abstract_values = nnx.split(abstract, nnx.Param, ...)
    params, state = (nnx.to_pure_dict(values) for values in abstract_values)
    accepted = _keywords(abstract)

    def init(key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]:
        with exactly():
            _, params, state = nnx.split(make(key, dynamic), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def run(params, state, key, batch, train, dynamic) -> tuple[PyTree, PyTree]:
        given = {"train": train, "key": key, "dynamic": values(dynamic)}
        inputs = seen(batch, view)

        def forward(params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
            module = nnx.merge(graph, params, state)
            outputs = module(inputs, **{name: given[name] for name in accepted})
            _, _, new_state = nnx.split(module, nnx.Param, ...)
            return outputs, nnx.to_pure_dict(new_state)

        if compute == "bfloat16":
            forward = in_bfloat16(forward, (Kind.NARROW, Kind.WIDE))
        with exactly():
            return forward(params, state)

    def measure(params, state, key, batch, train, dynamic) -> tuple[Metrics, PyTree]:
        outputs, new_state = run(params, state, key, batch, train, dynamic)
        return objective(outputs, batch, view), new_state

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        found, new_state = measure(params, state, key, batch, train, dynamic)
        total, count = found["loss"]
        return total / count, new_state

    def metrics(params, state, key, batch, *, train=False, dynamic: Dynamic | None = None):
        return measure(params, state, key, batch, train, dynamic)[0]

    def corpus_of(declared: CorpusMetrics) -> Corpus:
        gather = _resolved(family, "corpus_metrics.collect", declared.collect)

        def collect(params, state, key, batch, *, dynamic: Dynamic | None = None) -> Batch:
            model = Model(
                nnx.merge(graph, params, state),
                lambda: run(params, state, key, batch, False, dynamic)[0],
            )
            with exactly():
                return gather(model, batch, view)

        score = _resolved(family, "corpus_metrics.score", declared.score)
        return Corpus(declared.names, collect, score)

    by_parts = None if part is None else in_parts(measure, part)
    return TaskFunctions(
        init=init,
        loss=by_parts[0] if by_parts else loss,
        normalize=lambda value: normalize(value, view),
        metrics=by_parts[1] if by_parts else metrics,
        shapes=(params, state),
        corpus=corpus_of(family.corpus_metrics) if family.corpus_metrics else None,
    )


def _keywords(module: nnx.Module) -> tuple[str, ...]:
    """Return which of train, key and dynamic the network's ``__call__`` takes."""
    parameters = inspect.signature(type(module).__call__).parameters.values()
    names = {parameter.name for parameter in parameters}
    everything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return tuple(name for name in ("train", "key", "dynamic") if everything or name in names)


def batch_shapes(view: View, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Return shapes and types of a training batch."""
    return {
        name: jax.ShapeDtypeStruct((batch_size, *field.shape), field.dtype)
        for name, field in view.schema().items()
    }


def traced_family_cost(
    family: Family, config: object, view: View, batch_size: int, precision: str, compute: str
) -> Cost:
    """Return the cost of a step by tracing the task, for a family without a closed form."""
    made = task_functions(family, config, view, precision, compute=compute)
    return traced_cost(made.shapes, made.loss, batch_shapes(view, batch_size))
