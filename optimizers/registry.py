"""The optimizers by name, and any other by its import path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.place import portable
from velodrome.foundation.registry import Registry
from velodrome.optimizers import from_path, horizon
from velodrome.optimizers.learned import names as learned
from velodrome.optimizers.learned.weights.published import PUBLISHED
from velodrome.optimizers.nadamw_list import optimizer as nadamw_list
from velodrome.optimizers.spec import OptimizerSpec

Resolve = Callable[[str], OptimizerSpec]

#: How names ``cosine:OPTIMIZER`` begin.
_COSINE = "cosine:"


def _with_cosine(name: str, get: Resolve) -> OptimizerSpec:
    from velodrome.optimizers.cosine import with_cosine  # noqa: PLC0415 - imports jax

    spec = get(name.removeprefix(_COSINE))
    return with_cosine(spec, name=f"{_COSINE}{spec.name}")


#: What a name with each prefix means: ``(name, how to look up another name) -> OptimizerSpec``.
_PREFIXES: dict[str, Callable[[str, Resolve], OptimizerSpec]] = {
    _COSINE: _with_cosine,
    horizon.PREFIX: horizon.from_name,
    **dict.fromkeys(learned.PREFIXES, learned.from_name),
    nadamw_list.PREFIX: nadamw_list.from_name,
}


def _check(name: str, value: object) -> None:
    if not isinstance(value, OptimizerSpec) and not callable(value):
        raise VelodromeError(
            f"{name!r} is not an optimizer: expected an OptimizerSpec or a factory of optax "
            f"transformations, found {type(value).__name__}."
        )


class OptimizerRegistry(Registry[OptimizerSpec]):
    """Optimizers by name or import path.

    ``get`` takes a registered name (``"adam"``), the name of an entry point in the group
    ``velodrome.optimizers``, an import path of an `OptimizerSpec` or a plain factory
    (``"optax:lion"``, ``"mypackage.module:factory"``, ``"path/to/file.py:factory"``), or
    ``"velo:WEIGHTS"``, where WEIGHTS is a name or a path of weights. ``"celo"`` and other learned
    optimizers have the weights that their authors published, once they are fetched, or others, as
    in ``"celo:PATH"``. ``"horizon:FACTOR:NAME"``
    declares FACTOR times the run's steps to any of these, and ``"cosine:NAME"`` is one whose rate
    warms up and falls to 0 over the run. ``"nadamw_list:K"`` is NAdamW with the first K trials of a
    published list.
    """

    def __init__(self) -> None:
        super().__init__(
            "optimizer",
            group="velodrome.optimizers",
            check=_check,
            definition=lambda optimizer: getattr(optimizer, "factory", optimizer),
            parts=lambda optimizer: (
                getattr(optimizer, "factory", optimizer),
                getattr(optimizer, "eval_params", None),
            ),
            modules=True,
        )

    def get(self, name: str) -> OptimizerSpec:
        """Return the `OptimizerSpec` that ``name`` stands for; see the class.

        Raises:
          UnknownNameError: Nothing has that name; the message has the closest ones.
          SpecError: A prefix is followed by something else than it should be.
          VelodromeError: It was found, but cannot be loaded, or is not an optimizer.
        """
        for prefix, resolve in _PREFIXES.items():
            if name.startswith(prefix):
                return resolve(name, self.get)
        found, code = self.load(name)
        spec = from_path.as_spec(name, found)
        if code:
            spec = dataclasses.replace(spec, identity={**spec.identity, "code": code})
        if self.is_own(name) or (isinstance(found, OptimizerSpec) and not spec.traced):
            return spec
        from velodrome.optimizers.probe import probed  # noqa: PLC0415 - imports jax

        return probed(spec)

    @staticmethod
    def portable(name: str) -> str:
        """Return a name without the folders of its files: one name from wherever they are seen."""
        if name.startswith(_COSINE):
            return _COSINE + OptimizerRegistry.portable(name.removeprefix(_COSINE))
        if name.startswith(horizon.PREFIX):
            factor, _, optimizer = name.removeprefix(horizon.PREFIX).partition(":")
            return f"{horizon.PREFIX}{factor}:{OptimizerRegistry.portable(optimizer)}"
        if name.startswith(learned.PREFIXES):
            return learned.portable(name)
        return portable(name)


optimizers = OptimizerRegistry()
for _name in (
    *(
        "adam",
        "adam_sqrt_decay",
        "adam_exp_decay",
        "adamw",
        "nadamw",
        "radam",
        "adabelief",
        "yogi",
        "lamb",
    ),
    *("sgd", "sgdm", "rmsprop", "rmsprop_momentum", "adagrad", "adafactor", "lars", "fromage"),
    *("sm3", "sm3_b2", "lion", "muon", "schedule_free_adamw"),
):
    optimizers.register_lazy(_name, f"velodrome.optimizers.baselines:{_name}")
for _name in ("ademamix", "prodigy", "schedule_free_adamw_warmup"):
    optimizers.register_lazy(_name, f"velodrome.optimizers.scheduled:{_name}")
for _name in (
    *("shampoo_sgd", "shampoo_adagrad", "shampoo_rmsprop", "shampoo_rmsprop_normalized"),
    *("shampoo_sqrt_n", "shampoo_adagrad_normalized"),
):
    optimizers.register_lazy(_name, f"velodrome.optimizers.preconditioned.shampoo:{_name}")
optimizers.register_lazy("shampoo", "velodrome.optimizers.preconditioned.grafted:shampoo")
for _name in ("soap", "psgd_kron"):
    optimizers.register_lazy(_name, f"velodrome.optimizers.preconditioned.{_name}:{_name}")
optimizers.register_lazy("velo", "velodrome.optimizers.learned.names:velo_tiny")
optimizers.register_lazy("algoperf-nadamw", "velodrome.optimizers.algoperf:algoperf_nadamw")
optimizers.register_lazy("nadamw_list:10", "velodrome.optimizers.nadamw_list.optimizer:first_ten")
for _name in PUBLISHED:
    optimizers.register_lazy(_name, f"velodrome.optimizers.learned.specs:{_name.replace('-', '_')}")
optimizers.complete()
