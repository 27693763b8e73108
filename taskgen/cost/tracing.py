"""Counting FLOPs and bytes in a traced program, with loop bodies times their trip count.

The compiler's own analysis counts the body of a scan once, so it says nothing of recurrent
networks. This one reads the jaxpr, before any compilation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.primitives import (
    ARITHMETIC,
    COMPOSITE,
    FREE,
    REDUCTIONS,
    SCATTERS,
    WINDOWS,
)
from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost


@dataclass
class Count:
    """FLOPs and bytes of a program.

    Attributes:
      flops: See :class:`velodrome.taskgen.cost.sheet.Cost` for what counts.
      product_bytes: Bytes of operands and results of matrix products and convolutions.
      elementwise_bytes: Bytes of results of arithmetic.
      products: Matrix products and convolutions.
    """

    flops: int = 0
    product_bytes: int = 0
    elementwise_bytes: int = 0
    products: int = 0

    def add(self, other: Count, times: int = 1) -> None:
        """Adds ``times`` another count."""
        self.flops += times * other.flops
        self.product_bytes += times * other.product_bytes
        self.elementwise_bytes += times * other.elementwise_bytes
        self.products += times * other.products


def count_program(function: Callable[..., Any], *args: Any) -> Count:
    """Counts ``function(*args)`` without running or compiling it.

    Args:
      function: A traceable function.
      *args: Arrays, or ``jax.ShapeDtypeStruct`` in their place.

    Raises:
      SpecError: There is arithmetic in a loop whose number of trips the program does not say.

    Warns:
      UserWarning: A primitive is not known, and counts nothing.
    """
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: Any) -> Count:
    total = Count()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        parameters = equation.params
        if name == "scan":
            total.add(_count(parameters["jaxpr"].jaxpr), times=parameters["length"])
        elif name == "cond":
            branches = [_count(branch.jaxpr) for branch in parameters["branches"]]
            total.add(max(branches, key=lambda count: count.flops))
        elif name == "dot_general":
            total.add(_dot(equation))
        elif name == "conv_general_dilated":
            total.add(_convolution(equation))
        elif name == "while":
            _refuse_arithmetic(parameters)
        elif name in ARITHMETIC or name in REDUCTIONS or name in SCATTERS or name in WINDOWS:
            total.add(_elementwise(equation, name))
        elif name in COMPOSITE:
            total.add(_elementwise(equation, name), times=COMPOSITE[name])
        elif name in ("reduce", "reduce_window"):
            total.add(_reduction(equation, name))
        elif name == "select_and_scatter_add":  # the gradient of a maximum over windows
            total.add(_floats(equation, equation.invars[0].aval.size))
        elif inner := _inner_programs(parameters):
            for program in inner:
                total.add(_count(program))
        elif name not in FREE:
            _warn_of_unknown(equation, name)
    return total


def _refuse_arithmetic(parameters: dict[str, Any]) -> None:
    """Raises if a while loop computes with floats; one that counts or draws is free."""
    parts = [_count(parameters[name].jaxpr) for name in ("cond_jaxpr", "body_jaxpr")]
    if any(part.flops for part in parts):
        raise SpecError(
            "family.cost",
            None,
            "given as cost=...: the program has a while loop, of which nothing says how often it "
            "runs, so its FLOPs cannot be counted (jax.lax.scan and fori_loop with constant "
            "bounds can be)",
        )


def _warn_of_unknown(equation: Any, name: str) -> None:
    if any(jnp.issubdtype(variable.aval.dtype, jnp.inexact) for variable in equation.outvars):
        _warn(f"the primitive {name!r}")


def _warn(what: str) -> None:
    warnings.warn(
        f"the FLOPs of {what} are not known and count as none, so the cost of this task is too "
        "low; give its family cost=....",
        stacklevel=2,
    )


def _inner_programs(parameters: dict[str, Any]) -> list[Any]:
    """Returns the jaxprs that a call-like primitive (jit, remat, custom_vjp, ...) runs."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = parameters.get(key)
        if inner is not None:
            return [getattr(inner, "jaxpr", inner)]
    return []


def _dot(equation: Any) -> Count:
    left, right = (variable.aval for variable in equation.invars)
    result = equation.outvars[0].aval
    (contracted, _), _ = equation.params["dimension_numbers"]
    inner = math.prod(left.shape[axis] for axis in contracted)
    touched = left.size + right.size + result.size
    return Count(flops=2 * result.size * inner, product_bytes=BYTES_PER_FLOAT * touched, products=1)


def _convolution(equation: Any) -> Count:
    left, right = (variable.aval for variable in equation.invars)
    result = equation.outvars[0].aval
    numbers = equation.params["dimension_numbers"]
    output_features = right.shape[numbers.rhs_spec[0]]
    taps = right.size // output_features
    # Of a dilated input, all but one in so many numbers are zeros, which no implementation reads.
    zeros = math.prod(equation.params["lhs_dilation"])
    touched = left.size + right.size + result.size
    return Count(
        flops=2 * result.size * taps // zeros,
        product_bytes=BYTES_PER_FLOAT * touched,
        products=1,
    )


def _elementwise(equation: Any, name: str) -> Count:
    if name in SCATTERS:
        flops = equation.invars[2].aval.size
    elif name in REDUCTIONS:
        flops = equation.invars[0].aval.size
    else:
        flops = equation.outvars[0].aval.size
    if name in WINDOWS:
        flops *= math.prod(equation.params["window_dimensions"])
    return _floats(equation, flops)


def _reduction(equation: Any, name: str) -> Count:
    """Counts a reduction, whole or over windows, by an operation of the caller's own."""
    parameters = equation.params
    each = _count(getattr(parameters["jaxpr"], "jaxpr", parameters["jaxpr"])).flops
    if name == "reduce_window":
        times = equation.outvars[0].aval.size * math.prod(parameters["window_dimensions"])
    else:
        times = equation.invars[0].aval.size
    return _floats(equation, each * times)


def _floats(equation: Any, flops: int) -> Count:
    """Counts arithmetic; on integers (indices, random bits) it is free."""
    result = equation.outvars[0].aval
    if jnp.issubdtype(result.dtype, jnp.complexfloating):
        _warn(f"{equation.primitive.name!r} on complex numbers")
    if not jnp.issubdtype(result.dtype, jnp.floating):
        return Count()
    return Count(flops=flops, elementwise_bytes=BYTES_PER_FLOAT * result.size)


def traced_cost(shapes: Any, loss: Callable[..., Any], batch: Any) -> Cost:
    """Returns the cost of a training step by tracing it.

    Args:
      shapes: ``(params, state)`` of ``jax.ShapeDtypeStruct``.
      loss: ``loss(params, state, key, batch, *, train) -> (f32[], state)``.
      batch: A pytree of ``jax.ShapeDtypeStruct`` whose first axis is the batch.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    params, state = shapes

    def training(params: Any, state: Any, key: Any, batch: Any) -> Any:
        function = jax.value_and_grad(loss, has_aux=True)
        return function(params, state, key, batch, train=True)

    step = count_program(training, params, state, key, batch)
    evaluation = count_program(
        lambda p, s, k, b: loss(p, s, k, b, train=False), params, state, key, batch
    )
    leaves = jax.tree.leaves(batch)
    batch_bytes = BYTES_PER_FLOAT * sum(leaf.size for leaf in leaves)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    return Cost(
        flops=step.flops,
        bytes=step.product_bytes + step.elementwise_bytes + 2 * batch_bytes,
        params=parameters,
        # What the forward pass makes is kept, in the worst case.
        activation_bytes=evaluation.elementwise_bytes + evaluation.product_bytes + batch_bytes,
        eval_flops_per_example=evaluation.flops // leaves[0].shape[0],
        kernels=2 * step.products,  # a chain of elementwise work between any two products
    )
