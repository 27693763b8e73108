"""The task families by name, and `family`, the short way to declare one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from velodrome.foundation.definitions import ModuleName
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.foundation.registry import Registry
from velodrome.taskgen.family import Family
from velodrome.taskgen.space.fields import declared


def _check(name: str, value: object) -> None:
    if not isinstance(value, Family):
        raise VelodromeError(
            f"the family {name!r} is of type {type(value).__name__}, but must be a "
            "velodrome.Family."
        )


def _imported(function: object) -> object:
    """Return the module of a function that is given by an import string."""
    return ModuleName(function.partition(":")[0]) if isinstance(function, str) else function


def _of_corpus(family: Family) -> tuple[object, ...]:
    declared = family.corpus_metrics  # a family without them has the parts that it always had
    return () if declared is None else (declared.names, declared.collect, declared.score)


#: Another family is one file and one line below, or an entry point of another package.
families: Registry[Family] = Registry(
    "family",
    group="velodrome.families",
    check=_check,
    definition=lambda family: family.network or family.build,
    parts=lambda family: (
        family.config,
        family.view,
        *map(_imported, (family.network, family.objective, family.normalize, family.build)),
        *map(_imported, _of_corpus(family)),
    ),
)

for _name, _home in {
    "mlp": "mlp:family",
    "cnn": "cnn:family",
    "rnn": "rnn:family",
    "transformer": "transformer:family",
    "tabular_mlp": "tabular_mlp:family",
    "autoencoder": "autoencoder:family",
    "resnet": "resnet:family",
    "vit": "vit:family",
    "mlp_mixer": "mlp_mixer:family",
    "es_wrapped": "es_wrapped:family",
    "resnet50": "resnet50:family",
    "vit_s16": "vit_s16:family",
    "wmt_transformer": "wmt_transformer:family",
    "unet": "unet:family",
    "gnn": "gnn:family",
    "dlrm": "dlrm:family",
    "conformer": "conformer:family",
    "deepspeech": "deepspeech:family",
    "learned_optimizer": "learned_optimizer.family:unrolled",
    "learned_optimizer_pes": "learned_optimizer.family:persistent",
}.items():
    families.register_lazy(_name, f"velodrome.taskgen.families.{_home}")
families.complete()


def family(
    name: str, *, data_kind: str = "image", version: int = 1, **fields: Any
) -> Callable[[Callable[..., Any]], Family]:
    """Make a `Family` from the network that it decorates, and register it.

    This is short for writing the config's dataclass and `Family` out, which takes more
    options and any name for a field:

        @velodrome.family("wide", width=velodrome.static(velodrome.log_int(8, 64), default=16))
        def wide(config, view, *, rngs, dynamic):
            inner = nnx.Linear(view.pixels, config.width, rngs=rngs)
            return nnx.Sequential(lambda image: image.reshape(len(image), -1), inner, ...)

    Args:
      name: Name to be registered under.
      data_kind: As for `Family`.
      version: As for `Family`.
      **fields: The config's fields, each `velodrome.taskgen.space.fields.static` or
        `velodrome.taskgen.space.fields.dynamic`.

    Returns:
      A decorator. It takes a class of Flax modules as for `Family`, or a function
      ``(config, view, *, rngs, dynamic)`` that returns a module, which is then called with images
      or tokens alone. The decorated name becomes the family.

    Raises:
      SpecError: A field is not declared with ``static`` or ``dynamic``.
      VelodromeError: The name is taken. (A function or class of a notebook replaces its earlier
        self: a cell may be run again.)

    Examples:
      >>> from flax import nnx
      >>> @velodrome.family("flat", width=velodrome.static(velodrome.log_int(8, 64), default=16))
      ... def flat(config, view, *, rngs, dynamic):
      ...     first = nnx.Linear(view.pixels, config.width, rngs=rngs)
      ...     last = nnx.Linear(config.width, view.num_classes, rngs=rngs)
      ...     return nnx.Sequential(lambda image: image.reshape(len(image), -1), first, last)
      >>> len(velodrome.sample(2, seed=0, family="flat", data="built-in"))
      2
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
    """Return a network that calls the module of ``make`` with its input alone."""

    @functools.wraps(make)  # so that the registry knows where it was defined
    def network(*arguments: object, **keywords: object) -> object:
        from velodrome.taskgen.nn.layers import InputOnly  # noqa: PLC0415 - imports jax and flax

        return InputOnly(make(*arguments, **keywords))

    return network
