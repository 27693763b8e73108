"""PSGD-Kron against a computation in numpy, from the published method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import SHAPES, gradients, our_updates, zeros

from velodrome.optimizers.preconditioned.psgd_kron import (
    KronState,
    fit_probability,
    scale_by_kron,
)

RATE = 0.1


def probe(shape: tuple[int, ...]) -> np.ndarray:
    """What both sides take in place of noise."""
    return np.cos(1.0 + 2.0 * np.arange(max(1, np.prod(shape, dtype=int)))).reshape(shape)


@pytest.fixture
def known_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        jax.random, "normal", lambda key, shape, dtype: jnp.asarray(probe(shape), dtype)
    )
    monkeypatch.setattr(jax.random, "uniform", lambda key: jnp.float32(1.0))  # no balancing


def spectral(matrix: np.ndarray) -> float:
    """The published lower bound of the norm."""
    row = matrix[np.argmax((matrix**2).sum(axis=1))] @ matrix
    return float(np.linalg.norm(matrix @ (row / np.linalg.norm(row))))


def reference(grads: list[np.ndarray], every: int) -> list[np.ndarray]:
    """One array through PSGD-Kron, with whole matrices where the factors are diagonal."""
    shape = grads[0].shape or (1,)
    diagonal = [len(shape) == 1 or n == 1 for n in shape]
    q = [np.eye(n) for n in shape]
    m, found = np.zeros(shape), []

    def turned(x, matrices):
        for axis, matrix in enumerate(matrices):
            x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
        return x

    def outer(x, axis):
        flat = np.moveaxis(x, axis, 0).reshape(shape[axis], -1)
        return flat @ flat.T

    for t, given in enumerate(grads, start=1):
        m = 0.9 * m + 0.1 * given.reshape(shape)
        mean = m / (1 - 0.9**t)
        if t % every == 0:
            v = probe(shape)
            noisy = mean + np.sqrt(np.finfo(np.float32).eps) * np.abs(mean).mean() * v
            a = turned(noisy, q)
            b = turned(v, [np.linalg.inv(x).T for x in q])
            new = []
            for axis, x in enumerate(q):
                one, two = outer(a, axis), outer(b, axis)
                if diagonal[axis]:
                    one, two = np.diag(np.diag(one)), np.diag(np.diag(two))
                    new.append(x - RATE * (one - two) / np.abs(one + two).max() @ x)
                else:
                    new.append(x - RATE * np.triu(one - two) / spectral(one + two) @ x)
            q = new
        step = turned(mean, [x.T @ x for x in q])
        step = step / max(1.0, np.sqrt((step**2).mean()) / 1.1)
        found.append(step.reshape(given.shape))
    return found


@pytest.mark.parametrize("every", [1, 3])
def test_it_takes_the_published_steps(known_noise: None, every: int):
    given = gradients(12)
    ours = our_updates(
        scale_by_kron(rate=RATE, probability=lambda update: jnp.float32(1 / every)),
        given,
        zeros(),
    )
    for name in SHAPES:
        theirs = reference([grads[name] for grads in given], every)
        for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_allclose(
                a[name], b, rtol=1e-3, atol=1e-4, err_msg=f"{name}, update {step}"
            )


def test_the_preconditioner_whitens_gradients():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 4, 4)) + 2 * np.eye(4)
    given = [{"a": left @ rng.normal(size=(4, 4)) @ right} for _ in range(500)]
    made = scale_by_kron(b1=0.0, probability=lambda update: jnp.float32(1.0), limit=np.inf)
    steps = our_updates(made, given, {"a": jnp.zeros((4, 4))})[-250:]
    flat = np.array([step["a"].ravel() for step in steps])
    raw = np.array([grads["a"].ravel() for grads in given[-250:]])
    assert np.linalg.cond(np.cov(flat.T)) < np.linalg.cond(np.cov(raw.T)) / 20


def test_one_fit_in_a_hundred_begins_with_balanced_factors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key: jnp.float32(0.0))
    made = scale_by_kron()
    params = {"a": jnp.zeros((4, 3))}
    state = made.init(params)
    assert isinstance(state, KronState)
    (first, second), = state.factors  # fmt: skip
    uneven = state._replace(factors=((first * 8, second / 8),))
    grads = {"a": jnp.asarray(gradients(1)[0]["matrix"][:, :3], jnp.float32)}
    step = jax.jit(made.update)
    for one, other in zip(
        jax.tree.leaves(step(grads, uneven, params)),
        jax.tree.leaves(step(grads, state, params)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_fits_become_rare():
    shares = [float(fit_probability(jnp.float32(update))) for update in (1, 500, 1000, 10_000)]
    assert shares == pytest.approx([1.0, 1.0, np.exp(-0.5), 0.03], rel=1e-4)
