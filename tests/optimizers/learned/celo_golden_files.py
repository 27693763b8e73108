"""The golden vectors of Celo and its siblings (``tests/golden``), and how far is too far.

Tolerances are on ``max|difference| / rms of the tensor``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from velodrome.optimizers.learned.weights.store import read_published

GOLDEN = Path(__file__).parents[2] / "golden"
STEPS = 12
INPUTS = np.load(GOLDEN / "golden_celo_small.npz")
NAMES = sorted(name.removeprefix("grads/") for name in INPUTS.files if name.startswith("grads/"))


def weights_of(name: str) -> Any:
    """Return the weights of ``params_<name>_small``."""
    return read_published(name, GOLDEN / f"params_{name.replace('-', '_')}_small").weights


def gradients(step: int, factor: Any = 1.0) -> dict[str, jax.Array]:
    """Those of step 1, 2, ..., times a factor in float32."""
    return {n: jnp.asarray(INPUTS[f"grads/{n}"][step - 1] * np.float32(factor)) for n in NAMES}


def compiled(
    tx: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    return optax.GradientTransformationExtraArgs(jax.jit(tx.init), jax.jit(tx.update))


def check(
    tx: optax.GradientTransformationExtraArgs,
    expected: Callable[[str], np.ndarray],
    tolerances: tuple[float, ...],
    *,
    factor: Any = 1.0,
    names: Sequence[str] = NAMES,
) -> None:
    """Train with the golden losses and gradients; compare the parameters after every step.

    Args:
      tx: With functions that are compiled, see `compiled`.
      expected: For a tensor, its values before the first and after each step.
      tolerances: For each step.
      names: The tensors that take part.
    """
    params: Any = {n: jnp.asarray(expected(n)[0]) for n in names}
    state: Any = tx.init(params)
    for step in range(1, STEPS + 1):
        loss = INPUTS["losses"][step - 1]
        given = {n: g for n, g in gradients(step, factor).items() if n in names}
        updates, state = tx.update(given, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        for name in names:
            error = relative_error(params[name], expected(name)[step])
            assert error <= tolerances[step - 1], (step, name, error)


def relative_error(found: Any, expected: Any) -> float:
    expected = np.asarray(expected, np.float64)
    rms = max(float(np.sqrt(np.mean(expected**2))), 1e-30)
    return float(np.max(np.abs(np.asarray(found, np.float64) - expected))) / rms
