from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.tracing import count_program
from velodrome.taskgen.nn import activations, choices

X = jax.ShapeDtypeStruct((5, 7), jnp.float32)
W = jax.ShapeDtypeStruct((7, 3), jnp.float32)


def flops(function, *args):
    return count_program(function, *args).flops


def test_products_and_elementwise_work():
    assert flops(lambda x, w: x @ w, X, W) == 2 * 5 * 7 * 3
    assert flops(lambda x: jnp.tanh(x) + x, X) == 2 * 35
    assert flops(lambda x: x.sum(axis=0), X) == 35
    assert flops(lambda x: x.T.reshape(-1)[::2] > 0, X) == 0
    batched = jax.vmap(lambda x, w: x @ w)
    stack = jax.ShapeDtypeStruct((4, 5, 7), jnp.float32)
    assert flops(batched, stack, jax.ShapeDtypeStruct((4, 7, 3), jnp.float32)) == 4 * 210


def test_a_loop_counts_its_body_for_every_trip():
    def loop(x):
        return jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=9)[0]

    assert flops(loop, X) == 9 * 35
    assert flops(jax.jit(loop), X) == 9 * 35
    assert flops(jax.checkpoint(loop), X) == 9 * 35


def test_a_loop_of_unknown_length_is_refused_if_it_computes():
    def loop(x, trips, step):
        return jax.lax.fori_loop(0, trips, lambda _, carry: step(carry), x)

    trips = jax.ShapeDtypeStruct((), jnp.int32)
    with pytest.raises(SpecError, match="family.cost: .* given as cost=...: .* while loop"):
        flops(lambda x, trips: loop(x, trips, jnp.sin), X, trips)
    with pytest.raises(SpecError, match="while loop"):  # inside of another program, too
        flops(jax.jit(lambda x, trips: loop(x, trips, jnp.sin)), X, trips)
    assert flops(lambda x: loop(x, 9, jnp.sin), X) == 9 * 35
    assert flops(lambda x, trips: loop(x, trips, lambda c: c[::-1]), X, trips) == 0


def test_a_switch_counts_its_dearest_branch():
    def switch(index, x):
        return jax.lax.switch(index, [lambda x: x, lambda x: jnp.sin(jnp.cos(x))], x)

    assert flops(switch, jax.ShapeDtypeStruct((), jnp.int32), X) - flops(lambda x: x, X) >= 70


def test_convolutions_do_not_count_the_zeros_of_a_strided_gradient():
    image = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 3, 4), jnp.float32)

    def conv(image, kernel):
        return jax.lax.conv_general_dilated(
            image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    forward = 2 * (2 * 4 * 4 * 4) * (3 * 3 * 3)
    assert flops(conv, image, kernel) == forward
    input_gradient = jax.grad(lambda image, kernel: conv(image, kernel).sum())
    assert flops(input_gradient, image, kernel) <= 2 * forward + 2 * 4 * 4 * 4


def test_pooling_counts_every_number_of_its_windows():
    image = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    windows, taps = 2 * 4 * 4 * 3, 3 * 3

    def max_pool(image):
        return nnx.max_pool(image, (3, 3), (2, 2), "SAME")

    assert flops(max_pool, image) == windows * taps
    assert flops(lambda image: nnx.avg_pool(image, (2, 2), (2, 2)), image) == windows * (4 + 1)
    # Each number of the gradient is added to the place that its maximum came from.
    pooled = jax.ShapeDtypeStruct((2, 4, 4, 3), jnp.float32)
    both = flops(lambda image, slope: jax.vjp(max_pool, image)[1](slope), image, pooled)
    assert both == windows * (taps + 1)


def test_reductions_by_ones_own_operation_count_it():
    def combine(a, b):
        return a + 2 * b

    def over_windows(x):
        return jax.lax.reduce_window(x, jnp.float32(0), combine, (1, 2), (1, 2), "SAME")

    assert flops(lambda x: jax.lax.reduce(x, jnp.float32(0), combine, (0,)), X) == 2 * 35
    assert flops(over_windows, X) == 2 * (5 * 4) * 2


def test_updates_in_place_count_what_they_combine():
    row = jax.ShapeDtypeStruct((7,), jnp.float32)
    for method in ("add", "multiply", "min", "max"):
        assert flops(lambda x, row, name=method: getattr(x.at[2], name)(row), X, row) == 7
    assert flops(lambda x, row: x.at[2].set(row), X, row) == 0


def test_moving_comparing_and_drawing_count_nothing():
    def free(x, key):
        order = jnp.argsort(x, axis=1)
        best, at = jax.lax.top_k(x, 2)
        moved = jnp.take_along_axis(x, order, axis=1)[::-1]
        chosen = jnp.where(moved > x, moved, x).astype(jnp.float16)
        return chosen, best, at, x.argmax(), jnp.sort(x), jax.random.permutation(key, x)

    assert flops(free, X, jax.eval_shape(lambda: jax.random.key(0))) == 0
    assert flops(lambda x: jnp.cumsum(x) + jax.lax.cummax(x.reshape(-1)), X) == 3 * 35


def test_unknown_primitives_warn():
    with pytest.warns(UserWarning, match="FLOPs of the primitive 'svd' .* give its family cost="):
        assert flops(lambda x: jnp.linalg.svd(x, compute_uv=False), X) == 0
    with pytest.warns(UserWarning, match="'mul' on complex numbers"):
        flops(lambda x: 1j * x, X)


def test_the_table_of_activation_flops_is_what_is_traced():
    for index, name in enumerate(choices.ACTIVATIONS):

        def both(x, cotangent, index=index):
            value, pull = jax.vjp(lambda x: activations.activate(x, index), x)
            return value, pull(cotangent)

        forward, backward = choices.ACTIVATION_FLOPS[name]
        assert flops(lambda x, index=index: activations.activate(x, index), X) == 35 * forward
        assert flops(both, X, X) == 35 * (forward + backward), name
