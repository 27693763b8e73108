"""SOAP against a computation in numpy, from the paper's Algorithm 3."""

from __future__ import annotations

import numpy as np
from paths import SHAPES, gradients, our_updates, zeros

from velodrome.optimizers.preconditioned.soap import SoapState, scale_by_soap

B1, B2, EPS, FREQUENCY = 0.9, 0.95, 1e-8, 3


def reference(grads: list[np.ndarray]) -> list[np.ndarray]:
    """One array through SOAP, in float64; the first moment is kept in the old coordinates."""
    shape = grads[0].shape
    rotated_axes = range(len(shape)) if len(shape) > 1 else ()
    squares = {axis: np.zeros((shape[axis],) * 2) for axis in rotated_axes}
    bases: dict[int, np.ndarray] = {}
    m, v, found = np.zeros(shape), np.zeros(shape), []

    def turned(x, *, back=False):
        for axis, basis in bases.items():
            x = np.moveaxis(np.moveaxis(x, axis, -1) @ (basis.T if back else basis), -1, axis)
        return x

    def accumulate(g):
        for axis in rotated_axes:
            flat = np.moveaxis(g, axis, 0).reshape(shape[axis], -1)
            squares[axis] = B2 * squares[axis] + (1 - B2) * flat @ flat.T

    accumulate(grads[0])
    for axis in rotated_axes:
        bases[axis] = np.linalg.eigh(squares[axis])[1][:, ::-1]
    found.append(np.zeros(shape))
    for t, g in enumerate(grads[1:], start=1):
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * turned(g) ** 2
        bare = turned(turned(m) / (np.sqrt(v) + EPS), back=True)
        found.append(bare * np.sqrt(1 - B2**t) / (1 - B1**t))
        accumulate(g)
        if t % FREQUENCY == 0:
            for axis in rotated_axes:
                basis = bases[axis]
                order = np.argsort(-np.diag(basis.T @ squares[axis] @ basis))
                v = np.take(v, order, axis)
                bases[axis] = np.linalg.qr(squares[axis] @ basis[:, order])[0]
    return found


def test_it_takes_the_steps_of_the_paper():
    given = gradients(11)
    params = zeros()
    made = scale_by_soap(b1=B1, b2=B2, eps=EPS, frequency=FREQUENCY)
    ours = our_updates(made, given, params)
    for name in SHAPES:
        theirs = reference([grads[name] for grads in given])
        for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_allclose(
                a[name], b, rtol=1e-4, atol=1e-5, err_msg=f"{name}, update {step}"
            )


def test_long_axes_are_not_rotated():
    given = gradients(4)
    params = zeros()
    made = scale_by_soap(b1=B1, b2=B2, eps=EPS, frequency=FREQUENCY, max_size=2)
    state = made.init(params)
    assert isinstance(state, SoapState)
    sizes = [[None if m is None else len(m) for m in leaf.bases] for leaf in state.leaves]
    assert sorted(map(str, sizes)) == ["[None, 2, None]", "[None, None]", "[None]", "[]"]
    ours = our_updates(made, given, params)
    m = v = np.zeros(SHAPES["matrix"])
    for grads in given[1:]:  # plain Adam, after the first one
        m = B1 * m + (1 - B1) * grads["matrix"]
        v = B2 * v + (1 - B2) * grads["matrix"] ** 2
    adam = m / (1 - B1**3) / (np.sqrt(v / (1 - B2**3)) + EPS)
    np.testing.assert_allclose(ours[-1]["matrix"], adam, rtol=1e-4, atol=1e-5)
