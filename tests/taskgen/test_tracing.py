from __future__ import annotations

import jax
import jax.numpy as jnp

from taskgen import activations
from taskgen.tracing import count_program

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


def test_the_table_of_activation_flops_is_what_is_traced():
    for index, name in enumerate(activations.NAMES):

        def both(x, cotangent, index=index):
            value, pull = jax.vjp(lambda x: activations.activate(x, index), x)
            return value, pull(cotangent)

        forward, backward = activations.FLOPS[name]
        assert flops(lambda x, index=index: activations.activate(x, index), X) == 35 * forward
        assert flops(both, X, X) == 35 * (forward + backward), name
