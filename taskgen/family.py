"""Family: a kind of task, declared by a config and a network, with defaults for all the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.corpus import CorpusMetrics
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.data.info import KINDS, DatasetInfo, kind_of
from velodrome.taskgen.schema import View
from velodrome.taskgen.space.distributions import Distribution, log_int
from velodrome.taskgen.space.fields import config_fields


def default_view(config: object, info: DatasetInfo) -> View:
    """Return how a task sees a data set by the usual fields of its config."""
    return kind_of(info.kind).view(config, info)


@dataclass(frozen=True, eq=False)
class Family:
    """A family of tasks.

    A config and a network are enough; the rest follows from ``data_kind``, such as classification
    of images, or language modelling of text. Functions that need jax (``network``, ``objective``,
    ``normalize``, ``build``) may be given as import strings ``module:name``, so that sampling and
    closed-form costs never import it.

    Args:
      name: Name to be registered under.
      config: Frozen dataclass of `velodrome.taskgen.space.fields.static` and
        `velodrome.taskgen.space.fields.dynamic` fields. If ``view`` is not given, an image
        family may have the field ``image_size``, and a text family must have ``sequence_length``
        and may have ``vocab_size``.
      network: Makes a Flax module: ``network(config, view, rngs, dynamic)``. The module maps the
        inputs of the view to what the objective takes: images ``f32[B,H,W,C]`` to logits
        ``f32[B,classes]``, or tokens ``i32[B,T]`` to ``f32[B,T,classes]``. Where the view names
        several inputs, they come as a dictionary. Its ``__call__`` takes those of the keyword
        arguments ``train``, ``key`` and ``dynamic`` that it names. The module never keeps dynamic
        values: they come in with both calls.
      data_kind: A name of `velodrome.taskgen.data.info.KINDS`, such as "image", "text" or "table".
      version: Part of every spec's hash; raise it when the numbers of the family change.
      batch_size: Where the sampler draws the batch size from.
      view: ``view(config, dataset_info)``, a `velodrome.taskgen.schema.View`, such as an
        `velodrome.taskgen.views.ImageView`.
      cost: ``cost(config, view, batch_size)``, a closed form. Default: the program is traced and
        counted, which is exact for FLOPs and parameters, but imports jax and takes 0.1 s. A
        network with a while loop of unknown length must have it.
      shrink: Fields, in order of preference, and the floor that each may be halved to where a
        task is too expensive, as in ``{"batch_size": 4, "hidden_size": 8}``.
      objective: ``objective(outputs, batch, view)``: {metric: (sum, count)} with "loss". Default:
        that of the view.
      normalize: ``normalize(loss, view)``. Default: that of the view.
      build: ``build(config, view, precision)`` returns
        `velodrome.taskgen.functions.TaskFunctions`, for families that are no network with
        a loss; ``precision`` is that of matrix products.
      corpus_metrics: What is measured on all held-out examples together, where a protocol asks for
        it with ``corpus_examples``. Takes a family with a network.

    Raises:
      SpecError: ``data_kind`` is unknown, neither ``network`` nor ``build`` is given, or ``cost``
        or ``build`` takes other arguments.

    Examples:
      >>> velodrome.families.get("mlp").data_kind
      'image'
    """

    name: str
    config: type
    network: Callable[..., Any] | str | None = None
    data_kind: str = "image"
    version: int = 1
    batch_size: Distribution = log_int(4, 512)
    view: Callable[..., View] = default_view
    cost: Callable[..., Cost] | None = None
    shrink: Mapping[str, int] = field(default_factory=lambda: {"batch_size": 4})
    objective: Callable[..., Any] | str | None = None
    normalize: Callable[..., Any] | str | None = None
    build: Callable[..., Any] | str | None = None
    corpus_metrics: CorpusMetrics | None = None

    def __post_init__(self):
        if self.data_kind not in KINDS:
            raise SpecError("family.data_kind", self.data_kind, f"one of {', '.join(KINDS)}")
        if self.network is None and (self.build is None or self.cost is None):
            raise SpecError("family.network", None, "a Flax module class (or give build and cost)")
        if self.corpus_metrics is not None and self.build is not None:
            allowed = "left out: what build returns has `corpus` instead"
            raise SpecError("family.corpus_metrics", self.corpus_metrics.names, allowed)
        _check_arguments("cost", self.cost, ("config", "view", "batch_size"))
        _check_arguments("build", self.build, ("config", "view", "precision"))
        config_fields(self.config)  # raises now, not at the first sample


def _check_arguments(field: str, function: object, names: tuple[str, ...]) -> None:
    """Refuse a function that cannot be called with as many arguments as there are ``names``."""
    if not callable(function):
        return
    try:
        inspect.signature(function).bind(*names)
    except TypeError as error:
        wanted = f"a function {field}({', '.join(names)}); families do not see the whole spec"
        raise SpecError(f"family.{field}", str(inspect.signature(function)), wanted) from error
