"""Task: the contract between what is trained and whatever trains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.spec import TaskSpec


@dataclass(frozen=True, eq=False)  # a task is itself, so that jit caches by identity
class Task:
    """A trainable task. All callables are pure and survive jit, vmap and scan.

    Parameters and state are nested dictionaries of arrays. A batch is, for images,
    ``{"image": f32[B,H,W,C] in [0,1], "label": i32[B]}``, and for text
    ``{"obs": i32[B,T], "target": i32[B,T]}``. ``dynamic`` maps some or all names of
    :attr:`dynamic` to scalars, which may be traced; the others, or all with ``None``, are the
    spec's own and reach the compiler as constants.

    Attributes:
      spec: What the task was built from.
      dynamic: The spec's dynamic values, as Python numbers.
      cost: The cost of a training step.
      init: ``init(key, dynamic=None) -> (params, state)``.
      loss: ``loss(params, state, key, batch, *, train, dynamic=None) -> (f32[], state)``; the
        mean over the batch, in nats where it is a cross-entropy. ``train`` switches dropout and
        the like on.
      normalize: ``normalize(loss) -> f32[]``, the family's loss normaliser: of the order of 10 at
        the start of training, and finite for every loss.
      metrics: ``metrics(params, state, key, batch, *, train=False, dynamic=None) ->
        {name: (sum, count)}``, with "loss" always.
      shapes: ``(params, state)`` as ``jax.ShapeDtypeStruct``, known without computing or tracing
        anything; None if the family does not say.
    """

    spec: TaskSpec
    dynamic: dict[str, int | float]
    cost: Cost
    init: Callable[..., tuple[Any, Any]]
    loss: Callable[..., tuple[Any, Any]]
    normalize: Callable[[Any], Any]
    metrics: Callable[..., dict[str, tuple[Any, Any]]]
    shapes: Any = None
