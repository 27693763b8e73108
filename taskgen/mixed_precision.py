"""Mixed precision: compute a float32 function in bfloat16 where few digits do.

The function is traced as it is written, in float32, and then evaluated operation by operation:

- products and convolutions that parameters enter take their operands in bfloat16;
- what is added up, squared or exponentiated (means, variances, norms, softmax) is computed in
  float32, and so is what follows from it, up to the next product;
- other work on single numbers, such as adding biases and most activations, is done in bfloat16;
- what no parameter enters, such as log-mel features, stays as it was.

This holds for every network, also for one of your own. Parameters, state and results stay float32.
The gradient of a parameter that is used many times (broadcast, looked up, or in a loop over time)
is added up in float32 too.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var
from jax.typing import DTypeLike
from jaxtyping import PyTree


class Kind(enum.IntEnum):
    """How many digits a number needs; a result needs those of the operand that needs most.

    Attributes:
      EXACT: No parameter has entered. It takes the format of what it meets.
      NARROW: It is rounded to bfloat16 where it is computed with.
      WIDE: It stays float32 up to the next product.
    """

    EXACT = 0
    NARROW = 1
    WIDE = 2


class Value(NamedTuple):
    """An array and its kind. Floats are float32; NARROW ones may be bfloat16 already."""

    array: Any
    kind: Kind


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PRODUCTS = _names("dot_general conv_general_dilated")

_MOVES = _names("reshape transpose squeeze expand_dims slice dynamic_slice rev copy stop_gradient")

# The gradients of these are sums, for which the operand must be float32.
_SPREADS = _names("broadcast_in_dim gather")

# What is not here is computed in float32: sums, squares, exponentials, and what is unknown.
_NARROW = _names(
    """
    add sub mul div max min neg abs sign clamp integer_pow tanh logistic erf sin cos
    select_n concatenate pad dynamic_update_slice reduce_window_max
    """
)

_INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}
_WITH_GRADIENT = _names("custom_jvp_call custom_vjp_call")
_REMATERIALIZED = _names("remat2 checkpoint")

_FORMATS = (jnp.float32, jnp.bfloat16)
_LARGEST = float(jnp.finfo(jnp.bfloat16).max)


def in_bfloat16(function: Callable[..., PyTree], kinds: Sequence[Kind]) -> Callable[..., PyTree]:
    """Return a function that computes what ``function`` does, in mixed precision.

    Args:
      function: From pytrees of arrays to a pytree. What it closes over, traced or not, is EXACT.
      kinds: Those of the floats of each argument: NARROW for parameters, WIDE for statistics.

    Returns:
      A function of the same arguments. Its results have the types of those of ``function``.
    """

    def computed(*args: PyTree) -> PyTree:
        others: list[Any] = []  # leaves of the result that are no arrays, such as a smoothing

        def arrays(*args: PyTree) -> list[jax.Array]:
            leaves, structure = jax.tree.flatten(function(*args))
            others[:] = [
                structure,
                [None if isinstance(leaf, jax.Array) else leaf for leaf in leaves],
            ]
            return [leaf for leaf in leaves if isinstance(leaf, jax.Array)]

        program = jax.make_jaxpr(arrays)(*args)
        inputs = [
            _value(leaf, kind)
            for tree, kind in zip(args, kinds, strict=True)
            for leaf in jax.tree.leaves(tree)
        ]
        found = iter(_as_traced(program, _evaluate(program, inputs)))
        structure, leaves = others
        return structure.unflatten([next(found) if leaf is None else leaf for leaf in leaves])

    return computed


def _value(array: Any, kind: Kind) -> Value:
    return Value(array, kind if _is_float(array) else Kind.EXACT)


def _is_float(array: Any) -> bool:
    return getattr(array, "dtype", None) in _FORMATS


def _rounded(value: Value, dtype: DTypeLike) -> Any:
    """Return floats in another format, and all else as it is."""
    array, kind = value
    if not _is_float(array) or array.dtype == dtype:
        return array
    if dtype == jnp.bfloat16 and kind is Kind.EXACT:
        # The most negative number, which masks put in, would become minus infinity.
        array = jnp.where(jnp.isfinite(array), jnp.clip(array, -_LARGEST, _LARGEST), array)
    return jax.lax.convert_element_type(array, dtype)


def _as_traced(program: ClosedJaxpr, values: Sequence[Value]) -> list[Any]:
    return [
        _rounded(value, shape.dtype) for value, shape in zip(values, program.out_avals, strict=True)
    ]


def _evaluate(program: ClosedJaxpr, inputs: Sequence[Value]) -> list[Value]:
    jaxpr = program.jaxpr
    constants = [Value(constant, Kind.EXACT) for constant in program.consts]
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, Literal):
            return Value(jnp.asarray(atom.val, _dtype(atom)), Kind.EXACT)
        return known[atom]

    for equation in jaxpr.eqns:
        with equation.ctx.manager:
            results = _apply(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: JaxprEqn, operands: list[Value]) -> list[Value]:
    """Return the results of an operation."""
    name, params = equation.primitive.name, equation.params
    kind = max((value.kind for value in operands), default=Kind.EXACT)
    if kind is Kind.EXACT:
        return _bind(equation, operands, None, kind)
    if name in _INLINED:
        return _evaluate(params[_INLINED[name]], operands)
    if name in _WITH_GRADIENT:
        # As a whole, because its gradient is given for the whole; the kinds are those inside.
        inside = _kinds(params["call_jaxpr"], operands)
        found = _bind(equation, operands, jnp.float32, Kind.WIDE)
        return [Value(value.array, kind) for value, kind in zip(found, inside, strict=True)]
    if name in _REMATERIALIZED:
        return _rematerialize(equation, operands)
    if name == "scan":
        return _scan(equation, operands)
    if name == "cond":
        return _cond(equation, operands)
    if name in _PRODUCTS:
        changes: dict[str, Any] = {"precision": None}  # bfloat16 has no other
        if params.get("preferred_element_type") is not None:
            changes["preferred_element_type"] = jnp.dtype(jnp.bfloat16)
        return _bind(equation, operands, jnp.bfloat16, Kind.NARROW, changes)
    if name in _MOVES or (name == "convert_element_type" and _keeps_type(equation)):
        return _bind(equation, operands, None, kind)
    if name in _SPREADS:
        return _bind(equation, operands, jnp.float32, kind)
    if name in _NARROW and kind is Kind.NARROW and not _squares(equation):
        return _bind(equation, operands, jnp.bfloat16, kind)
    return _bind(equation, operands, jnp.float32, Kind.WIDE)


def _bind(
    equation: JaxprEqn,
    operands: Sequence[Value],
    dtype: DTypeLike | None,
    kind: Kind,
    changes: Mapping[str, Any] | None = None,
) -> list[Value]:
    """Do an operation on operands of that format."""
    arrays = [value.array if dtype is None else _rounded(value, dtype) for value in operands]
    params = equation.primitive.get_bind_params({**equation.params, **(changes or {})})
    found = equation.primitive.bind(*arrays, **params)
    results = found if equation.primitive.multiple_results else [found]
    return [_value(result, kind) for result in results]


def _keeps_type(equation: JaxprEqn) -> bool:
    return _dtype(equation.invars[0]) == equation.params["new_dtype"]


def _dtype(atom: Var | Literal) -> jnp.dtype:
    return cast(ShapedArray, atom.aval).dtype


def _squares(equation: JaxprEqn) -> bool:
    """Return whether an operation is part of a variance or norm."""
    if equation.primitive.name == "integer_pow":
        return equation.params["y"] == 2
    return equation.primitive.name == "mul" and equation.invars[0] is equation.invars[1]


def _kinds(program: ClosedJaxpr, operands: Sequence[Value]) -> list[Kind]:
    """Return the kinds of the results of a program, without computing them."""
    run, kinds = _on_arrays(program, operands)
    jax.eval_shape(run, *(value.array for value in operands))
    return kinds


def _on_arrays(
    program: ClosedJaxpr, operands: Sequence[Value]
) -> tuple[Callable[..., list[Any]], list[Kind]]:
    """Return the program as a function of arrays, and a list that a call fills with kinds."""
    kinds: list[Kind] = []

    def run(*arrays: Any) -> list[Any]:
        values = [value._replace(array=a) for value, a in zip(operands, arrays, strict=True)]
        found = _evaluate(program, values)
        kinds[:] = [value.kind for value in found]
        return [value.array for value in found]

    return run, kinds


def _rematerialize(equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    params = equation.params
    run, kinds = _on_arrays(ClosedJaxpr(params["jaxpr"], ()), operands)
    again = jax.checkpoint(run, prevent_cse=params["prevent_cse"], policy=params["policy"])
    found = again(*(value.array for value in operands))
    return [Value(array, kind) for array, kind in zip(found, kinds, strict=True)]


def _ends_of_constants_and_carried(equation: JaxprEqn) -> tuple[int, int]:
    """Return where among the operands of a loop its constants end, and where what it carries ends.

    The shapes say it: the body sees a slice of each sequence, and makes one of each stacked result.
    jax names these numbers differently from version to version.
    """
    body = equation.params["jaxpr"]
    sequences = _slices(equation.invars, body.in_avals)
    carried = len(body.out_avals) - _slices(equation.outvars, body.out_avals)
    last = len(body.in_avals) - sequences
    return last - carried, last


def _slices(outside: Sequence[Var | Literal], inside: Sequence[ShapedArray]) -> int:
    """Return how many arrays have one axis less in the body of a loop than outside it."""
    pairs = zip(outside, inside, strict=True)
    return sum(cast(ShapedArray, whole.aval).ndim > part.ndim for whole, part in pairs)


def _scan(equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Do a loop. What it carries is float32, and so is the sum of gradients of its constants."""
    params = equation.params
    first, last = _ends_of_constants_and_carried(equation)
    constants = [Value(_rounded(value, jnp.float32), value.kind) for value in operands[:first]]
    sequences = operands[last:]
    kinds: list[Kind] = []

    def body(carried: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
        values = [
            *constants,
            *(_value(array, Kind.WIDE) for array in carried),
            *(value._replace(array=a) for value, a in zip(sequences, slices, strict=True)),
        ]
        found = _evaluate(params["jaxpr"], values)
        kinds[:] = [value.kind for value in found[len(carried) :]]
        arrays = _as_traced(params["jaxpr"], found)[: len(carried)]
        return arrays, [value.array for value in found[len(carried) :]]

    carried, stacked = jax.lax.scan(
        body,
        [_rounded(value, jnp.float32) for value in operands[first:last]],
        [value.array for value in sequences],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    results = [_value(array, Kind.WIDE) for array in carried]
    return results + [Value(array, kind) for array, kind in zip(stacked, kinds, strict=True)]


def _cond(equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    index, given = operands[0].array, operands[1:]
    branches = equation.params["branches"]
    kinds = [max(each) for each in zip(*(_kinds(b, given) for b in branches), strict=True)]

    def branch(program: ClosedJaxpr) -> Callable[..., list[Any]]:
        def run(*arrays: Any) -> list[Any]:
            values = [value._replace(array=a) for value, a in zip(given, arrays, strict=True)]
            # All branches must return the same types.
            return _as_traced(program, _evaluate(program, values))

        return run

    found = jax.lax.switch(index, [branch(b) for b in branches], *(v.array for v in given))
    return [_value(array, kind) for array, kind in zip(found, kinds, strict=True)]
