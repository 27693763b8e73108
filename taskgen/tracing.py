"""Counting FLOPs and bytes in a traced program, with loop bodies times their trip count.

The compiler's own analysis counts the body of a scan once, so it says nothing of recurrent
networks. This one reads the jaxpr, before any compilation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from taskgen.cost import BYTES_PER_FLOAT, Cost

# One FLOP for each number of the result.
_ARITHMETIC = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "rem",
        "max",
        "min",
        "neg",
        "abs",
        "sign",
        "floor",
        "ceil",
        "round",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "rsqrt",
        "cbrt",
        "pow",
        "integer_pow",
        "square",
        "tanh",
        "tan",
        "sin",
        "cos",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "logistic",
        "erf",
        "erfc",
        "erf_inv",
        "lgamma",
        "digamma",
        "add_any",
        "clamp",
        "nextafter",
    ]
)
# More than one FLOP for each number of the result: what older versions of jax trace as
# (1 - y) * (1 + y) in the derivative of tanh.
_COMPOSITE = {"one_minus_square": 3}
# One FLOP for each number of the operand.
_REDUCTIONS = frozenset(
    [
        "reduce_sum",
        "reduce_max",
        "reduce_min",
        "reduce_prod",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "cumlogsumexp",
        "reduce_precision",
    ]
)

# One FLOP for each number that is added into the operand.
_SCATTERS = frozenset(("scatter-add", "scatter_add"))


@dataclass
class Count:
    """FLOPs and bytes of a program.

    Attributes:
      flops: See :class:`taskgen.cost.Cost` for what counts.
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
        elif name in _ARITHMETIC or name in _REDUCTIONS or name in _SCATTERS:
            total.add(_elementwise(equation, name))
        elif name in _COMPOSITE:
            total.add(_elementwise(equation, name), times=_COMPOSITE[name])
        else:
            for inner in _inner_programs(parameters):
                total.add(_count(inner))
    return total


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
    if name in _SCATTERS:
        measured = equation.invars[2].aval
    elif name in _REDUCTIONS:
        measured = equation.invars[0].aval
    else:
        measured = equation.outvars[0].aval
    if not jnp.issubdtype(measured.dtype, jnp.floating):
        return Count()  # index arithmetic and random bits
    return Count(
        flops=measured.size, elementwise_bytes=BYTES_PER_FLOAT * equation.outvars[0].aval.size
    )


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
