"""`OptimizerSpec`: an optax transformation with its sweep and its needs."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import SpecError
from velodrome.optimizers.metacost import MetaTrainingCost

if TYPE_CHECKING:
    import optax

#: The published sweep over the learning rate (Metz et al. 2022, arXiv 2211.09760).
LEARNING_RATES = tuple(float(f"{digit}e{power}") for power in range(-7, 0) for digit in (1, 3)) + (
    1.0,
)

#: What an optimizer may ask of the engine: ``num_steps`` when it is made, the rest at each update.
NEEDS = frozenset({"value", "num_steps", "grad", "value_fn", "grad_fn", "key"})


@dataclass(frozen=True, eq=False)
class OptimizerSpec:
    """An optimizer as it takes part in a comparison.

    Args:
      name: The name it is registered under.
      label: How figures and tables call it. A learned optimizer's label says which weights.
      factory: Called with the hyperparameters as keywords (and ``num_steps`` if it is needed);
        returns an optax transformation.
      grid: For each hyperparameter, the values of the published sweep. Empty: nothing to tune.
      traced: Hyperparameters that may be JAX tracers, so that one compiled program runs a whole
        sweep as lanes.
      static: Hyperparameters that must be Python values; points that differ in one of them go
        in separate programs.
      needs: Which of ``value`` (the training loss), ``num_steps``, ``grad``, ``value_fn``,
        ``grad_fn`` and ``key`` the optimizer uses. An engine passes exactly these: ``num_steps``
        to the factory, the others as keywords of ``update``.
      version: Raised whenever its numbers change.
      identity: What else its numbers depend on, as JSON: for a learned optimizer, the hash of
        its weights.
      eval_params: ``(opt_state, params) -> params``, used at every evaluation by optimizers that
        evaluate elsewhere than they step (schedule-free, averaging). None: the parameters.
      meta_training: What it cost to train the optimizer itself, which reports tell beside their
        numbers. None: nothing, or not known. Not part of what its results depend on.

    Raises:
      SpecError: A field contradicts another one or is not what it must be.
    """

    name: str
    label: str
    factory: Callable[..., optax.GradientTransformation]
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    traced: frozenset[str] = frozenset()
    static: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    version: int = 1
    identity: Mapping[str, Any] = field(default_factory=dict)
    eval_params: Callable[[Any, Any], Any] | None = None
    meta_training: MetaTrainingCost | None = None

    def __post_init__(self) -> None:
        """Checks the fields against each other."""
        if not callable(self.factory):
            raise SpecError("factory", self.factory, "callable")
        if unknown := set(self.needs) - NEEDS:
            raise SpecError("needs", sorted(unknown), f"among {sorted(NEEDS)}")
        if both := self.traced & self.static:
            raise SpecError("static", sorted(both), "disjoint from 'traced'")
        if loose := set(self.grid) - self.traced - self.static:
            raise SpecError("grid", sorted(loose), "named in 'traced' or in 'static'")
        for name, values in self.grid.items():
            if not isinstance(values, tuple) or not values:
                raise SpecError(f"grid.{name}", values, "a tuple with at least one value")
        try:
            canonical_json(dict(self.identity))
        except (TypeError, ValueError) as error:
            raise SpecError("identity", self.identity, f"JSON ({error})") from error

    @property
    def points(self) -> list[dict[str, Any]]:
        """The points of the grid, in order: the first hyperparameter varies slowest."""
        names = list(self.grid)
        combinations = itertools.product(*self.grid.values())
        return [dict(zip(names, values, strict=True)) for values in combinations]

    def make(
        self, hyperparameters: Mapping[str, Any], *, num_steps: int | None
    ) -> optax.GradientTransformationExtraArgs:
        """Returns the optimizer at one point of its hyperparameter space.

        Args:
          hyperparameters: A value for each of ``traced`` and ``static`` that is to differ from
            the factory's default; those in ``traced`` may be tracers.
          num_steps: How many updates the run will make; used only if the optimizer needs it.

        Raises:
          SpecError: A hyperparameter is unknown, or one without a default or ``num_steps`` is
            missing.
        """
        import optax

        allowed = self.traced | self.static
        if unknown := set(hyperparameters) - allowed:
            raise SpecError(
                f"{self.name} hyperparameters", sorted(unknown), f"among {sorted(allowed)}"
            )
        if missing := sorted((required_arguments(self.factory) & allowed) - set(hyperparameters)):
            raise SpecError(
                f"{self.name} hyperparameters",
                sorted(hyperparameters),
                f"with a value for {', '.join(missing)}, such as "
                f"{missing[0]}={self._example(missing[0])}",
            )
        arguments = dict(hyperparameters)
        if "num_steps" in self.needs:
            if num_steps is None:
                raise SpecError(f"{self.name} num_steps", None, "the number of updates of the run")
            arguments["num_steps"] = num_steps
        return optax.with_extra_args_support(self.factory(**arguments))

    def _example(self, name: str) -> Any:
        values = self.grid.get(name, ("...",))
        return values[len(values) // 2]


def required_arguments(factory: Callable[..., Any]) -> set[str]:
    """Returns the names of the arguments without a default."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in variadic
    }
