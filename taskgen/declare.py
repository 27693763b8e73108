"""`family`: the short way to declare a task family, for one that is a few fields and a network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.registry import families
from velodrome.taskgen.space.config import declared


def family(
    name: str, *, data_kind: str = "image", version: int = 1, **fields: Any
) -> Callable[[Callable[..., Any]], Family]:
    """Makes a :class:`Family` of the network that it decorates, and registers it.

    The same as writing the config's dataclass and :class:`Family` out, which takes more options
    and more names for fields::

        @velodrome.family("wide", width=velodrome.static(velodrome.log_int(8, 64), default=16))
        def wide(config, view, *, rngs, dynamic):
            inner = nnx.Linear(view.pixels, config.width, rngs=rngs)
            return nnx.Sequential(lambda image: image.reshape(len(image), -1), inner, ...)

    Args:
      name: Name to be registered under.
      data_kind: As for :class:`Family`.
      version: As for :class:`Family`.
      **fields: The config's fields, each :func:`~velodrome.taskgen.space.config.static` or
        :func:`~velodrome.taskgen.space.config.dynamic`.

    Returns:
      A decorator. It takes a class of Flax modules as for :class:`Family`, or a function
      ``(config, view, *, rngs, dynamic)`` that returns a module, which is then called with images
      or tokens alone; what was decorated becomes the family.

    Raises:
      SpecError: A field is not declared with ``static`` or ``dynamic``.
      VelodromeError: The name stands for another family already. (The same function or class of
        a notebook takes the place of its earlier self: a cell may be run again.)
    """
    typed = []
    for field, value in fields.items():
        info = declared(value)
        if info is None:
            raise SpecError(f"family.{field}", value, "made by static(...) or dynamic(...)")
        numbers = (value.default, *info.allowed)
        kind = float if any(type(number) is float for number in numbers) else type(value.default)
        typed.append((field, kind, value))
    config = dataclasses.make_dataclass(f"{name}_config", typed, frozen=True)

    def register(network: Callable[..., Any]) -> Family:
        made = Family(
            name=name,
            config=config,
            network=network if isinstance(network, type) else _calling(network),
            data_kind=data_kind,
            version=version,
        )
        return families.register(name, made)

    return register


def _calling(make: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a network of what ``make`` returns, whatever keywords that would take."""

    @functools.wraps(make)  # so that the registry knows where it was defined
    def network(config: Any, view: Any, *, rngs: Any, dynamic: Any) -> Any:
        return _of_input_alone(make(config, view, rngs=rngs, dynamic=dynamic))

    return network


@deferred
def _of_input_alone() -> type:
    from flax import nnx

    class OfInputAlone(nnx.Module):
        """Calls a module with its input alone: `nnx.Sequential` would pass all keywords on."""

        def __init__(self, body: Any):
            self.body = body

        def __call__(self, inputs: Any) -> Any:
            return self.body(inputs)

    return OfInputAlone
