"""Count FLOPs and bytes in a traced program, with loop bodies times their trip count.

The compiler's own analysis counts the body of a scan once, so it says nothing about recurrent
networks. This one reads the jaxpr, before any compilation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jaxtyping import PyTree

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost

# What the primitives of jax cost, by name. Where names differ between versions of jax, both are
# here. What a FLOP is, `velodrome.taskgen.cost.sheet.Cost` says.


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# One FLOP for each number of the result.
ARITHMETIC = _names(
    """
    add sub mul div rem max min neg abs sign floor ceil round add_any clamp nextafter
    exp exp2 expm1 log log1p sqrt rsqrt cbrt pow integer_pow square
    tanh tan sin cos asin acos atan atan2 sinh cosh asinh acosh atanh
    logistic erf erfc erf_inv lgamma digamma igamma igammac igamma_grad_a random_gamma_grad
    polygamma zeta bessel_i0e bessel_i1e regularized_incomplete_beta reduce_precision
    """
)

# More than one FLOP for each number of the result: what older versions of jax trace as
# ``(1 - y) * (1 + y)`` in the derivative of tanh.
COMPOSITE = {"one_minus_square": 3}

# One FLOP for each number of the operand.
REDUCTIONS = _names(
    "reduce_sum reduce_max reduce_min reduce_prod cumsum cumprod cummax cummin cumlogsumexp"
)

# One FLOP for each number of each window: pooling.
WINDOWS = _names("reduce_window_sum reduce_window_max reduce_window_min")

# One FLOP for each number that is combined into the operand (the third argument).
SCATTERS = _names(
    """
    scatter-add scatter_add scatter-sub scatter_sub scatter-mul scatter_mul
    scatter-min scatter_min scatter-max scatter_max
    """
)

# No FLOP, by the definition of one: moving data (and changing its type), comparing and selecting,
# and drawing random bits. A sort moves numbers as its comparisons say; so does what passes
# gradients on to a maximum. Results that are no floats are free as well: indices, masks, keys.
FREE = _names(
    """
    broadcast_in_dim reshape transpose squeeze expand_dims slice dynamic_slice
    dynamic_update_slice concatenate pad gather scatter rev split tile copy copy_p device_put
    iota convert_element_type bitcast_convert_type real imag complex conj stop_gradient
    optimization_barrier sharding_constraint pvary pcast mesh_cast reshard

    select_n select_and_gather_add sort top_k approx_top_k argmax argmin

    random_bits random_gamma rng_uniform rng_bit_generator
    """
)


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
        self.flops += times * other.flops
        self.product_bytes += times * other.product_bytes
        self.elementwise_bytes += times * other.elementwise_bytes
        self.products += times * other.products


def count_program(function: Callable[..., object], *args: PyTree) -> Count:
    """Count ``function(*args)`` without running or compiling it.

    Args:
      *args: Arrays, or ``jax.ShapeDtypeStruct`` in their place.

    Raises:
      SpecError: A loop does arithmetic, and the program does not say how often it runs.

    Warns:
      UserWarning: A primitive is not known, and counts nothing.
    """
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: Jaxpr) -> Count:
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
        elif name == "fft":
            total.add(_transform(equation))
        elif name in ("reduce", "reduce_window"):
            total.add(_reduction(equation, name))
        elif name == "select_and_scatter_add":  # the gradient of a maximum over windows
            total.add(_floats(equation, _inputs(equation)[0].size))
        elif inner := _inner_program(parameters):
            total.add(_count(inner))
        elif name not in FREE:
            _warn_of_unknown(equation, name)
    return total


def _refuse_arithmetic(parameters: Mapping[str, Any]) -> None:
    """Raise if a while loop computes with floats; one that counts or draws is free."""
    parts = [_count(parameters[name].jaxpr) for name in ("cond_jaxpr", "body_jaxpr")]
    if any(part.flops for part in parts):
        raise SpecError(
            "family.cost",
            None,
            "given as cost=...: the program has a while loop, and nothing says how often it runs, "
            "so its FLOPs cannot be counted (jax.lax.scan and fori_loop with constant bounds can)",
        )


def _warn_of_unknown(equation: JaxprEqn, name: str) -> None:
    results = [cast(ShapedArray, variable.aval) for variable in equation.outvars]
    if any(jnp.issubdtype(result.dtype, jnp.inexact) for result in results):
        _warn(f"the primitive {name!r}")


def _warn(what: str) -> None:
    warnings.warn(
        f"the FLOPs of {what} are not known and count as none, so the cost of this task is too "
        "low; give its family cost=....",
        stacklevel=2,
    )


def _inner_program(parameters: Mapping[str, Any]) -> Jaxpr | None:
    """Return the jaxpr that a call-like primitive (jit, remat, custom_vjp, ...) runs."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if parameters.get(key) is not None:
            return _open(parameters[key])
    return None


def _open(jaxpr: ClosedJaxpr | Jaxpr) -> Jaxpr:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr


def _inputs(equation: JaxprEqn) -> list[ShapedArray]:
    return [cast(ShapedArray, variable.aval) for variable in equation.invars]


def _result(equation: JaxprEqn) -> ShapedArray:
    return cast(ShapedArray, equation.outvars[0].aval)


def _dot(equation: JaxprEqn) -> Count:
    left, right = _inputs(equation)
    result = _result(equation)
    (contracted, _), _ = equation.params["dimension_numbers"]
    inner = math.prod(left.shape[axis] for axis in contracted)
    touched = _bytes(left) + _bytes(right) + _bytes(result)
    return Count(flops=2 * result.size * inner, product_bytes=touched, products=1)


def _convolution(equation: JaxprEqn) -> Count:
    left, right = _inputs(equation)
    result = _result(equation)
    numbers = equation.params["dimension_numbers"]
    taps = right.size // right.shape[numbers.rhs_spec[0]]
    # All but one in `dilation` numbers of a dilated input are zeros, which no implementation reads.
    dilation = math.prod(equation.params["lhs_dilation"])
    touched = _bytes(left) + _bytes(right) + _bytes(result)
    flops = 2 * result.size * taps // dilation
    return Count(flops=flops, product_bytes=touched, products=1)


def _elementwise(equation: JaxprEqn, name: str) -> Count:
    if name in SCATTERS:
        flops = _inputs(equation)[2].size
    elif name in REDUCTIONS:
        flops = _inputs(equation)[0].size
    else:
        flops = _result(equation).size
    if name in WINDOWS:
        flops *= math.prod(equation.params["window_dimensions"])
    return _floats(equation, flops)


def _reduction(equation: JaxprEqn, name: str) -> Count:
    """Count a reduction, of everything or over windows, by an operation that the caller gave."""
    each = _count(_open(equation.params["jaxpr"])).flops
    if name == "reduce_window":
        times = _result(equation).size * math.prod(equation.params["window_dimensions"])
    else:
        times = _inputs(equation)[0].size
    return _floats(equation, each * times)


def _transform(equation: JaxprEqn) -> Count:
    """Count a Fourier transform: 5 N log2 N for N complex numbers, and half of it for real ones."""
    lengths, result = equation.params["fft_lengths"], _result(equation)
    size = math.prod(lengths)
    real = not all(
        jnp.issubdtype(array.dtype, jnp.complexfloating) for array in (*_inputs(equation), result)
    )
    times = math.prod(result.shape[: result.ndim - len(lengths)])
    flops = round((2.5 if real else 5) * size * math.log2(max(size, 2))) * times
    return Count(flops=flops, elementwise_bytes=2 * BYTES_PER_FLOAT * result.size)


def _floats(equation: JaxprEqn, flops: int) -> Count:
    """Count arithmetic; on integers (indices, random bits) it is free."""
    result = _result(equation)
    if jnp.issubdtype(result.dtype, jnp.complexfloating):
        _warn(f"{equation.primitive.name!r} on complex numbers")
    if not jnp.issubdtype(result.dtype, jnp.floating):
        return Count()
    return Count(flops=flops, elementwise_bytes=_bytes(result))


def _bytes(array: ShapedArray) -> int:
    """Return the bytes of an array of floats; complex numbers count as one of them."""
    return array.size * (2 if array.dtype == jnp.bfloat16 else BYTES_PER_FLOAT)


def traced_cost(
    shapes: tuple[PyTree, PyTree],
    loss: Callable[..., tuple[jax.Array, PyTree]],
    batch: PyTree,
) -> Cost:
    """Return the cost of a training step by tracing it.

    Args:
      shapes: ``(params, state)`` of ``jax.ShapeDtypeStruct``.
      loss: ``loss(params, state, key, batch, *, train) -> (f32[], state)``.
      batch: A pytree of ``jax.ShapeDtypeStruct`` whose first axis is the batch.
    """
    arguments = (*shapes, jax.eval_shape(lambda: jax.random.key(0)), batch)

    def training(*arguments: PyTree) -> PyTree:
        return jax.value_and_grad(loss, has_aux=True)(*arguments, train=True)

    step = count_program(training, *arguments)
    evaluation = count_program(lambda *arguments: loss(*arguments, train=False), *arguments)
    leaves = jax.tree.leaves(batch)
    batch_bytes = BYTES_PER_FLOAT * sum(leaf.size for leaf in leaves)
    return Cost(
        flops=step.flops,
        bytes=step.product_bytes + step.elementwise_bytes + 2 * batch_bytes,
        params=sum(leaf.size for leaf in jax.tree.leaves(shapes[0])),
        # In the worst case, everything that the forward pass makes is kept.
        activation_bytes=evaluation.elementwise_bytes + evaluation.product_bytes + batch_bytes,
        eval_flops_per_example=evaluation.flops // leaves[0].shape[0],
        kernels=2 * step.products,  # a chain of elementwise work between any two products
    )
