"""Shampoo of both kinds against computations in numpy, from the papers."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from paths import SHAPES, gradients, our_updates, zeros

from velodrome.optimizers.preconditioned.blocks import Blocks, merged_shape
from velodrome.optimizers.preconditioned.grafted import scale_by_grafted_shampoo
from velodrome.optimizers.preconditioned.shampoo import GRAFTS, Graft, scale_by_shampoo

STEPS = 9
B1, B2 = 0.9, 0.95
#: The blocks of each array, written out: axes are merged while they are within 4, then cut.
SIZE = 4
MERGED = {"matrix": (4, 4), "kernel": (3, 2, 4), "bias": (4,), "scale": ()}


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.maximum(values, 1e-300) ** exponent) @ vectors.T


def preconditioned(block: np.ndarray, roots: list[np.ndarray]) -> np.ndarray:
    for axis, root in enumerate(roots):
        block = np.moveaxis(np.moveaxis(block, axis, -1) @ root, -1, axis)
    return block


def gram(block: np.ndarray, axis: int) -> np.ndarray:
    flat = np.moveaxis(block, axis, 0).reshape(block.shape[axis], -1)
    return flat @ flat.T


def graft_step(graft: str, g: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """The step of the optimizer whose sizes are taken; ``squares`` is changed."""
    if graft == "sgd":
        return g
    if graft == "sqrt_n":
        return np.sign(g)
    if "normalized" in graft:
        g = g / np.linalg.norm(g)
    if "adagrad" in graft:
        squares += g * g
    else:
        squares[...] = B2 * squares + (1 - B2) * g * g
    return g / (np.sqrt(squares) + 1e-10)


def constant_rate(graft: str, name: str, grads: list[np.ndarray], start: int) -> list[np.ndarray]:
    """One array, which is one block, through the Shampoo of the VeLO paper."""
    shape = MERGED[name]
    grams = [1e-6 * np.eye(n) for n in shape]
    squares = np.zeros(grads[0].shape)
    ours_momentum = graft_momentum = np.zeros(grads[0].shape)
    found = []
    for step, g in enumerate(grads):
        roots = []
        for axis, n in enumerate(shape):
            grams[axis] = B2 * grams[axis] + (1 - B2) * gram(g.reshape(shape), axis)
            largest = np.linalg.eigvalsh(grams[axis])[-1]
            if n < 4:  # a smaller matrix is filled up with ones to the size of the largest
                largest = max(largest, 1.0)
            roots.append(power(grams[axis] + 1e-6 * largest * np.eye(n), -1 / (2 * len(shape))))
        simple = graft_step(graft, g, squares)
        ours = preconditioned(g.reshape(shape), roots).reshape(g.shape) if shape else simple
        ours = ours * np.linalg.norm(simple) / np.linalg.norm(ours)
        shared = graft == "sqrt_n"
        graft_momentum = B1 * (ours_momentum if shared else graft_momentum) + simple
        ours_momentum = B1 * ours_momentum + ours
        if step >= start:
            found.append(ours + B1 * ours_momentum)
        else:
            found.append(simple + B1 * graft_momentum)
            ours_momentum = graft_momentum if shared else ours_momentum
    return found


@pytest.mark.parametrize("graft", GRAFTS)
def test_the_six_types_of_grafting(graft: Graft):
    given = gradients(STEPS)
    made = scale_by_shampoo(graft, b1=B1, b2=B2, block_size=SIZE, start=3)
    ours = our_updates(made, given, zeros())
    for name in SHAPES:
        theirs = constant_rate(graft, name, [grads[name] for grads in given], start=3)
        for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_allclose(
                a[name], b, rtol=2e-3, atol=2e-4, err_msg=f"{name}, update {step}"
            )


def with_adam(name: str, grads: list[np.ndarray], frequency: int) -> list[np.ndarray]:
    """One array, which is one block, through Shampoo with Adam's step sizes."""
    shape = MERGED[name]
    grams = [np.zeros((n, n)) for n in shape]
    m = v = np.zeros(grads[0].shape)
    roots, found = [], []
    for t, g in enumerate(grads, start=1):
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        for axis in range(len(shape)):
            grams[axis] = B2 * grams[axis] + (1 - B2) * gram(g.reshape(shape), axis)
        if t % frequency == 0:
            roots = [
                power(matrix / (1 - B2**t) + 1e-12 * np.eye(len(matrix)), -1 / (2 * len(shape)))
                for matrix in grams
            ]
        mean = m / (1 - B1**t)
        adam = mean / (np.sqrt(v / (1 - B2**t)) + 1e-8)
        step = adam
        if t >= frequency and shape:
            step = preconditioned(mean.reshape(shape), roots).reshape(g.shape)
            step = step * np.linalg.norm(adam) / np.linalg.norm(step)
        found.append(step)
    return found


def test_grafting_of_adam():
    given = gradients(STEPS)
    # A vector needs as many gradients as it is long, before its Gram matrix is regular.
    made = scale_by_grafted_shampoo(b1=B1, b2=B2, frequency=4, block_size=SIZE)
    ours = our_updates(made, given, zeros())
    for name in SHAPES:
        theirs = with_adam(name, [grads[name] for grads in given], frequency=4)
        for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_allclose(
                a[name], b, rtol=2e-3, atol=5e-4, err_msg=f"{name}, update {step}"
            )


def test_blocks_are_cut_and_joined():
    assert merged_shape((3, 3, 32, 64), 128) == (9, 32, 64)
    assert merged_shape((1, 1), 128) == (1,) and merged_shape((), 128) == ()
    assert merged_shape((1, 5), 4) == (5,) and merged_shape((200,), 128) == (200,)
    array = jnp.arange(7.0 * 5 * 3).reshape(7, 5, 3)
    blocks = Blocks.of(array.shape, 3)
    parts = blocks.split(array)
    sides = itertools.product((3, 3, 1), (3, 2), (3,))
    assert [part.shape for part in parts] == list(sides)
    np.testing.assert_array_equal(parts[1], array[:3, 3:5])
    np.testing.assert_array_equal(blocks.join(parts), array)


def test_blocks_are_preconditioned_alone():
    grads = [{"a": np.concatenate([g["matrix"], g["matrix"][::-1]], axis=1)} for g in gradients(6)]
    halves = [{"a": g["a"][:, :4]} for g in grads]
    made = scale_by_grafted_shampoo(frequency=4, block_size=4)
    whole = our_updates(made, grads, {"a": jnp.zeros((4, 8))})[-1]["a"]
    half = our_updates(made, halves, {"a": jnp.zeros((4, 4))})[-1]["a"]
    np.testing.assert_allclose(whole[:, :4], half, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5000, 2), ()])
def test_what_is_not_preconditioned_takes_the_grafted_steps(shape: tuple[int, ...]):
    made = scale_by_shampoo("sgd", start=0)
    grad = np.ones(shape)
    first, second = our_updates(made, [{"a": grad}] * 2, {"a": jnp.zeros(shape)})
    np.testing.assert_allclose(first["a"], 1.9 * grad, rtol=1e-6)
    np.testing.assert_allclose(second["a"], (1 + 0.9 * 1.9) * grad, rtol=1e-6)
