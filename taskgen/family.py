"""Family: a kind of task, declared by a config and a network, with a default for all the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.space.config import Distribution, config_fields, log_int
from velodrome.taskgen.spec import TaskSpec

KINDS = ("image", "text")


@dataclass(frozen=True)
class ImageView:
    """How a task sees an image data set.

    Attributes:
      size: Height and width in pixels that images are resized to.
      channels: Colour channels.
      num_classes: Number of labels.
    """

    size: int
    channels: int
    num_classes: int

    @property
    def pixels(self) -> int:
        """Numbers in an image."""
        return self.size * self.size * self.channels


@dataclass(frozen=True)
class TextView:
    """How a task sees a text data set.

    Attributes:
      length: Tokens that a sequence is predicted for.
      vocab_size: Number of classes the task predicts, which may be more or less than the data
        set has: tokens beyond are folded, see :func:`velodrome.taskgen.nn.losses.fold_tokens`.
    """

    length: int
    vocab_size: int


@dataclass(frozen=True, eq=False)
class Family:
    """A family of tasks.

    A config and a network are enough; the rest follows from ``data_kind``: classification of
    images, or language modelling.

    Args:
      name: Name to be registered under.
      config: Frozen dataclass of :func:`~velodrome.taskgen.space.config.static` and
        :func:`~velodrome.taskgen.space.config.dynamic` fields. If ``view`` is not given, an image family may have
        the field ``image_size``, and a text family must have ``sequence_length`` and may have
        ``vocab_size``.
      network: Makes a Flax module: ``network(config, view, rngs, dynamic)``. The module maps
        ``f32[B,H,W,C]`` to logits ``f32[B,classes]``, or tokens ``i32[B,T]`` to
        ``f32[B,T,classes]``, and its ``__call__`` takes those of the keyword arguments
        ``train``, ``key`` and ``dynamic`` that it names. Dynamic values are never kept
        in the module: they come in here and there.
      data_kind: "image" or "text".
      version: Part of every spec's hash; raise it when the numbers of the family change.
      batch_size: Where the sampler draws the batch size from.
      view: ``view(config, dataset_info)``, an :class:`ImageView` or :class:`TextView`.
      cost: ``cost(spec, dataset_info)``, a closed form. Default: the program is traced and
        counted, which is exact for FLOPs and parameters, but imports jax and takes 0.1 s. A
        network with a while loop, whose length is not known before, must have it.
      shrink: Fields, in order of preference, and the floor that each may be halved to where a
        task is too expensive, as in ``{"batch_size": 4, "hidden_size": 8}``.
      objective: ``objective(logits, batch, view)``: {metric: (sum, count)} with "loss".
      normalize: ``normalize(loss, view)``.
      build: ``build(spec, dataset_info)`` makes the :class:`~velodrome.taskgen.task.Task`; for families
        that are no network with a loss.

    Raises:
      SpecError: ``data_kind`` is unknown, or there is neither ``network`` nor ``build``.
    """

    name: str
    config: type
    network: Callable[..., Any] | None = None
    data_kind: str = "image"
    version: int = 1
    batch_size: Distribution = log_int(4, 512)
    view: Callable[..., Any] = None  # type: ignore[assignment]
    cost: Callable[[TaskSpec, Any], Cost] = None  # type: ignore[assignment]
    shrink: Mapping[str, int] = field(default_factory=lambda: {"batch_size": 4})
    objective: Callable[..., dict[str, tuple[Any, Any]]] | None = None
    normalize: Callable[..., Any] | None = None
    build: Callable[[TaskSpec, Any], Any] = None  # type: ignore[assignment]

    def __post_init__(self):
        if self.data_kind not in KINDS:
            raise SpecError("family.data_kind", self.data_kind, f"one of {', '.join(KINDS)}")
        if self.network is None and (self.build is None or self.cost is None):
            raise SpecError("family.network", None, "a Flax module class (or give build and cost)")
        config_fields(self.config)  # raises now, not at the first sample
        put = object.__setattr__  # the way to complete a frozen dataclass while it is made
        if self.view is None:
            put(self, "view", _image_view if self.data_kind == "image" else _text_view)
        if self.build is None:
            put(self, "build", functools.partial(_build, self))
        if self.cost is None:
            put(self, "cost", functools.partial(_traced_cost, self))


def _image_view(config: Any, info: Any) -> ImageView:
    height, _, channels = info.shape
    return ImageView(getattr(config, "image_size", height), channels, info.num_classes)


def _text_view(config: Any, info: Any) -> TextView:
    return TextView(config.sequence_length, getattr(config, "vocab_size", info.vocab_size))


def _build(family: Family, spec: TaskSpec, info: Any) -> Any:
    from velodrome.taskgen.build import build_network_task  # imports jax

    return build_network_task(family, spec, info)


def _traced_cost(family: Family, spec: TaskSpec, info: Any) -> Cost:
    from velodrome.taskgen.build import trace_network_cost  # imports jax

    return trace_network_cost(family, spec, info)


def deferred(define: Callable[[], Any]) -> Callable[..., Any]:
    """Decorates a function that defines and returns a network class.

    The class body, and with it the import of flax, runs when the first network is made: so that
    sampling specs and computing costs need no jax, and a family is one file nevertheless.

    Args:
      define: Returns the class.

    Returns:
      A callable that makes an instance of the class.
    """
    defined = functools.cache(define)

    @functools.wraps(define)
    def make(*args: Any, **kwargs: Any) -> Any:
        return defined()(*args, **kwargs)

    return make
