"""The contract of a task's functions: initialisation, loss, metrics, normaliser."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from jaxtyping import PyTree

Scalar = int | float | jax.Array

Dynamic = Mapping[str, Scalar]
"""Some or all dynamic values by name; they may be traced."""

Batch = Mapping[str, jax.Array]
Metrics = Mapping[str, tuple[jax.Array, jax.Array]]
"""{name: (sum, count)}, with "loss"."""


@typing.runtime_checkable
class Init(Protocol):
    def __call__(self, key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]: ...


@typing.runtime_checkable
class Loss(Protocol):
    def __call__(
        self,
        params: PyTree,
        state: PyTree,
        key: jax.Array,
        batch: Batch,
        *,
        train: bool,
        dynamic: Dynamic | None = None,
    ) -> tuple[jax.Array, PyTree]: ...


@typing.runtime_checkable
class MetricsOf(Protocol):
    def __call__(
        self,
        params: PyTree,
        state: PyTree,
        key: jax.Array,
        batch: Batch,
        *,
        train: bool = False,
        dynamic: Dynamic | None = None,
    ) -> Metrics: ...


@typing.runtime_checkable
class Collect(Protocol):
    def __call__(
        self,
        params: PyTree,
        state: PyTree,
        key: jax.Array,
        batch: Batch,
        *,
        dynamic: Dynamic | None = None,
    ) -> Batch: ...


@dataclass(frozen=True, eq=False)
class Corpus:
    """The corpus metrics of a task, see `velodrome.CorpusMetrics`.

    Attributes:
      names: The metrics.
      collect: ``collect(params, state, key, batch, *, dynamic=None)`` returns arrays whose first
        axis is that of the batch. It is pure, and survives jit and vmap.
      score: ``score(collected, dataset)`` returns a number for each name, from arrays with all
        examples.
    """

    names: tuple[str, ...]
    collect: Collect
    score: Callable[[Mapping[str, np.ndarray], Any], Mapping[str, float]]


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskFunctions:
    """The functions of a task. All are pure and survive jit, vmap and scan.

    Parameters and state are nested dictionaries of arrays. A batch is a dictionary of the arrays
    that the view's schema declares: for images ``{"image": f32[B,H,W,C] in [0,1], "label":
    i32[B]}``, for text ``{"obs": i32[B,T], "target": i32[B,T]}``.
    ``dynamic`` maps some or all names of the dynamic values to scalars, which may be traced; the
    others (all, with ``None``) are the spec's and reach the compiler as constants.

    Attributes:
      init: ``init(key, dynamic=None) -> (params, state)``.
      loss: ``loss(params, state, key, batch, *, train, dynamic=None) -> (f32[], state)``; the
        mean over the batch, in nats where it is a cross-entropy. ``train`` switches dropout and
        the like on.
      normalize: ``normalize(loss) -> f32[]``, the family's loss normaliser: about 10 at the start
        of training, and finite for every loss.
      metrics: ``metrics(params, state, key, batch, *, train=False, dynamic=None) ->
        {name: (sum, count)}``, with "loss" always.
      shapes: ``(params, state)`` as ``jax.ShapeDtypeStruct``, known without computing or tracing
        anything; None if the family does not say.
      corpus: What is measured on all examples of an evaluation together; None if nothing is.
    """

    init: Init
    loss: Loss
    normalize: Callable[[Scalar], jax.Array]
    metrics: MetricsOf
    shapes: Any = None
    corpus: Corpus | None = None
