"""What the primitives of jax cost, by name: the table that :mod:`velodrome.taskgen.cost.tracing` counts with.

A FLOP is what :class:`velodrome.taskgen.cost.sheet.Cost` says it is. Where names differ between versions of jax,
both are here.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARITHMETIC = _names(
    """
    add sub mul div rem max min neg abs sign floor ceil round add_any clamp nextafter
    exp exp2 expm1 log log1p sqrt rsqrt cbrt pow integer_pow square
    tanh tan sin cos asin acos atan atan2 sinh cosh asinh acosh atanh
    logistic erf erfc erf_inv lgamma digamma igamma igammac igamma_grad_a random_gamma_grad
    polygamma zeta bessel_i0e bessel_i1e regularized_incomplete_beta reduce_precision
    """
)
"""One FLOP for each number of the result."""

COMPOSITE = {"one_minus_square": 3}
"""More than one FLOP for each number of the result: what older versions of jax trace as
``(1 - y) * (1 + y)`` in the derivative of tanh."""

REDUCTIONS = _names(
    """
    reduce_sum reduce_max reduce_min reduce_prod cumsum cumprod cummax cummin cumlogsumexp
    """
)
"""One FLOP for each number of the operand."""

WINDOWS = frozenset(("reduce_window_sum", "reduce_window_max", "reduce_window_min"))
"""One FLOP for each number of each window: pooling."""

SCATTERS = _names(
    """
    scatter-add scatter_add scatter-sub scatter_sub scatter-mul scatter_mul
    scatter-min scatter_min scatter-max scatter_max
    """
)
"""One FLOP for each number that is combined into the operand (the third argument)."""

_MOVEMENT = """
    broadcast_in_dim reshape transpose squeeze expand_dims slice dynamic_slice
    dynamic_update_slice concatenate pad gather scatter rev split tile copy copy_p device_put
    iota convert_element_type bitcast_convert_type real imag complex conj stop_gradient
    optimization_barrier sharding_constraint pvary pcast mesh_cast reshard
    """
# A sort moves numbers as its comparisons say; so does what passes gradients on to a maximum.
_COMPARISON = """
    select_n select_and_gather_add sort top_k approx_top_k argmax argmin
    """
_RANDOM = """
    random_bits random_gamma rng_uniform rng_bit_generator
    """
FREE = _names(_MOVEMENT + _COMPARISON + _RANDOM)
"""No FLOP, by the definition of one: moving data (and changing its type), comparing and selecting,
and drawing random bits. Whatever gives no floats is free as well: indices, masks, keys."""
