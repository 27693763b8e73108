"""`OptimizerSpec`, the contract of an optimizer: how it is made, its sweep, and what it needs."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import SpecError, VelodromeError, unknown_key
from velodrome.optimizers.metacost import MetaTrainingCost

if TYPE_CHECKING:
    import optax

#: The published sweep over the learning rate (Metz et al. 2022, arXiv 2211.09760).
LEARNING_RATES = tuple(float(f"{digit}e{power}") for power in range(-7, 0) for digit in (1, 3)) + (
    1.0,
)

#: What an optimizer may ask of the engine: ``num_steps`` when it is made, the rest at each update.
NEEDS = frozenset({"value", "num_steps", "grad", "value_fn", "grad_fn", "key"})

_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

#: A point of a grid: a value for each hyperparameter.
Point: TypeAlias = dict[str, Any]


@dataclass(frozen=True, eq=False)
class OptimizerSpec:
    """An optimizer that takes part in a comparison.

    Args:
      name: The name it is registered under.
      label: Its name in figures and tables. A learned optimizer's label says which weights.
      factory: Returns an optax transformation; called with the hyperparameters as keywords, and
        ``num_steps`` if that is needed.
      grid: For each hyperparameter, the values of the published sweep. Empty: nothing to tune.
      traced: Hyperparameters that may be JAX tracers, so that one compiled program runs a whole
        sweep as lanes.
      static: Hyperparameters that must be Python values; points that differ in one of them run
        in separate programs.
      needs: Which of ``value`` (the training loss), ``num_steps``, ``grad``, ``value_fn``,
        ``grad_fn`` and ``key`` the optimizer uses. An engine passes exactly these: ``num_steps``
        to the factory, the others as keywords of ``update``.
      version: Raise it whenever the optimizer's numbers change.
      identity: What else its numbers depend on, as JSON: for a learned optimizer, the hash of
        its weights.
      eval_params: ``(opt_state, params) -> params``, used at every evaluation by optimizers that
        evaluate elsewhere than they step (averaging). None: the parameters; but schedule-free and
        SAM of optax are recognised by their state (`evaluated`).
      meta_training: The cost of training the optimizer itself, which reports show beside its
        results; results do not depend on it. None: nothing, or not known.
      most_steps: Updates beyond which runs are known to fail: users are warned before such a run.
        None: no such number is known.

    Raises:
      SpecError: A field contradicts another one or has the wrong type.

    Examples:
      >>> import optax
      >>> sgd = velodrome.OptimizerSpec(
      ...     name="mine",
      ...     label="Mine",
      ...     factory=optax.sgd,
      ...     grid={"learning_rate": (0.01, 0.1)},
      ...     traced=frozenset({"learning_rate"}),
      ... )
      >>> sgd.points
      [{'learning_rate': 0.01}, {'learning_rate': 0.1}]
    """

    name: str
    label: str
    factory: Callable[..., optax.GradientTransformation]
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    traced: frozenset[str] = frozenset()
    static: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    version: int = 1
    identity: Mapping[str, object] = field(default_factory=dict)
    eval_params: Callable[[optax.OptState, optax.Params], optax.Params] | None = None
    meta_training: MetaTrainingCost | None = None
    most_steps: int | None = None

    def __post_init__(self) -> None:
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
            _check_values(f"grid.{name}", values, traced=name in self.traced)
        try:
            canonical_json(dict(self.identity))
        except (TypeError, ValueError) as error:
            raise SpecError("identity", self.identity, f"JSON ({error})") from error

    def length_note(self, steps: int) -> str:
        """Return a warning about runs of ``steps`` updates; empty if none is needed."""
        if self.most_steps is None or steps <= self.most_steps:
            return ""
        return (
            f"{self.label} is known to fail in runs of more than {self.most_steps:,} steps, and "
            f"this one has {steps:,}: make it shorter, or choose other weights."
        )

    @property
    def points(self) -> list[Point]:
        """The points of the grid, in order: the first hyperparameter varies slowest."""
        names = list(self.grid)
        combinations = itertools.product(*self.grid.values())
        return [dict(zip(names, values, strict=True)) for values in combinations]

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Every name that a point may have."""
        return self.traced | self.static | _keywords(self.factory) - {"num_steps"}

    def with_grid(self, values: Mapping[str, Sequence[object]]) -> OptimizerSpec:
        """Return the optimizer with these values in its grid, where they vary fastest.

        The rest of its grid stays. A keyword of the factory that is neither traced nor static
        becomes static.

        Raises:
          SpecError: It has no such hyperparameter, or a value is not of the type of those in its
            grid, or of its default.
        """
        grid = {name: own for name, own in self.grid.items() if name not in values}
        for name, given in values.items():
            field_name = f"grid of {self.name}"
            if not self.hyperparameters:
                raise SpecError(field_name, name, "left out: it has no hyperparameters")
            if name not in self.hyperparameters:
                raise unknown_key(field_name, name, sorted(self.hyperparameters), "hyperparameters")
            grid[name] = self._as_known(f"{field_name}: {name}", name, given)
        static = self.static | values.keys() - self.traced
        return dataclasses.replace(self, grid=grid, static=static) if values else self

    def _as_known(self, field_name: str, name: str, given: Sequence[object]) -> tuple[object, ...]:
        """Return values of a hyperparameter as its known ones are: 1 is 1.0 among 0.1 and 0.3."""
        known = self.grid.get(name) or _defaults(self.factory).get(name, ())
        kinds = {type(value) for value in known} or ({float} if name in self.traced else set())
        numbers = kinds <= {int, float}
        for kind, allowed in ((bool, "true or false"), (str, "words"), (float, "numbers")):
            expected = bool(kinds) and (numbers if kind is float else kinds == {kind})
            if expected and not all(_is_a(kind, value) for value in given):
                raise SpecError(field_name, list(given), f"{allowed}, like {[*known]}")
        if float in kinds and numbers:
            return tuple(float(cast(float, value)) for value in given)
        return tuple(given)

    def make(
        self, hyperparameters: Mapping[str, object], *, num_steps: int | None
    ) -> optax.GradientTransformationExtraArgs:
        """Return the optimizer at one point of its hyperparameter space.

        Args:
          hyperparameters: Values that replace the factory's defaults, of any of its keywords.
            Those of ``traced`` may be tracers.
          num_steps: How many updates the run will make; used only if the optimizer needs it.

        Raises:
          SpecError: A hyperparameter is unknown; or one without a default, or ``num_steps``, is
            missing.
          VelodromeError: The factory returns something else than an optax transformation.
        """
        import optax  # noqa: PLC0415 - listing optimizers needs no jax

        allowed = self.traced | self.static
        if unknown := set(hyperparameters) - self.hyperparameters:
            field_name = f"{self.name} hyperparameters"
            raise SpecError(field_name, sorted(unknown), f"among {sorted(self.hyperparameters)}")
        if missing := sorted((required_arguments(self.factory) & allowed) - set(hyperparameters)):
            values = self.grid.get(missing[0], ("...",))
            example = f"{missing[0]}={values[len(values) // 2]}"
            raise SpecError(f"{self.name} {missing[0]}", None, f"given, such as {example}")
        arguments = dict(hyperparameters)
        if "num_steps" in self.needs:
            if num_steps is None:
                raise SpecError(f"{self.name} num_steps", None, "the number of updates of the run")
            arguments["num_steps"] = num_steps
        made = self.factory(**arguments)
        if not is_transformation(made):
            hint = " (its `return` may be missing)" if made is None else ""
            raise VelodromeError(
                f"the factory of the optimizer {self.name!r} returned {made!r:.80}{hint}; it must "
                "return an optax transformation."
            )
        return optax.with_extra_args_support(made)


def _check_values(field_name: str, values: tuple[object, ...], *, traced: bool) -> None:
    for value in values:
        if traced and not isinstance(value, bool | int | float):
            raise SpecError(field_name, value, "Python numbers, because it is traced")
        try:
            canonical_json(value)
        except (TypeError, ValueError) as error:
            raise SpecError(
                field_name, value, f"finite numbers, or other JSON ({error})"
            ) from error
    if len({(type(value), repr(value)) for value in values}) < len(values):
        raise SpecError(field_name, values, "different values")


def is_transformation(found: object) -> bool:
    """Return whether something is an optax transformation: they share no class, only methods."""
    return all(callable(getattr(found, method, None)) for method in ("init", "update"))


def _keywords(factory: Callable[..., object]) -> set[str]:
    parameters = inspect.signature(factory).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind in _BY_NAME}


def _defaults(factory: Callable[..., object]) -> dict[str, tuple[object, ...]]:
    found = inspect.signature(factory).parameters.values()
    return {one.name: (one.default,) for one in found if one.default is not one.empty}


def _is_a(kind: type, value: object) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind)


def required_arguments(factory: Callable[..., object]) -> set[str]:
    """Return the names of the arguments without a default."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in variadic
    }
