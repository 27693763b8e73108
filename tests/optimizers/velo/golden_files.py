"""The golden vectors of ``tests/golden`` (see the README there), and how far from them is too far.

Tolerances are on ``max|difference| / rms of the tensor``. The original, run operation by operation
and compiled, differs from itself by 2e-7 in steps 1-2, 7e-6 up to step 10 and 7e-5 after, where a
feature of the loss is near the edge of its clip.
"""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from velodrome.optimizers.velo.weights.store import load_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights

GOLDEN = Path(__file__).parents[2] / "golden"
STEPS = 12
TOLERANCES = (1e-6,) * 2 + (2e-5,) * 8 + (3e-4,) * 2


class Golden:
    """One golden run: its weights, gradients, losses and parameters before and after each step."""

    def __init__(self, file: str, weights: str, prefix: str = "", gradients: str | None = None):
        self.arrays = np.load(GOLDEN / file)
        source = self.arrays if gradients is None else np.load(GOLDEN / gradients)
        self.names = sorted(k.removeprefix("grads/") for k in source.files if "grads/" in k)
        self.losses = source["losses"]
        self._gradients = source
        self._prefix = prefix
        self.weights: VeLOWeights = load_weights(GOLDEN / weights)

    def gradients(self, step: int) -> dict:
        """Those of step 1, 2, ..."""
        return {n: jnp.asarray(self._gradients[f"grads/{n}"][step - 1]) for n in self.names}

    def params(self, step: int) -> dict:
        """Those after a step; 0 is before the first."""
        return {n: jnp.asarray(self.arrays[f"{self._prefix}params/{n}"][step]) for n in self.names}

    def check(self, step: int, params: dict) -> None:
        for name, expected in self.params(step).items():
            assert relative_error(params[name], expected) <= TOLERANCES[step - 1], (step, name)


def relative_error(found, expected) -> float:
    expected = np.asarray(expected, np.float64)
    rms = max(float(np.sqrt(np.mean(expected**2))), 1e-30)
    return float(np.max(np.abs(np.asarray(found, np.float64) - expected))) / rms


def small() -> Golden:
    return Golden("golden_small.npz", "params_small")


def medium() -> Golden:
    return Golden("golden_medium.npz", "params_medium")


def wrapped(mode: str) -> Golden:
    """A run through the original's wrapper: plain, wd, accum or accum_wd."""
    return Golden("golden_prefab_small.npz", "params_small", f"{mode}/", "golden_small.npz")
