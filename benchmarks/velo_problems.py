"""Parameter sets of the VeLO benchmarks, and VeLO at the size of the official checkpoint."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from velodrome.optimizers.velo.optimizer import velo, velo_from_theta
from velodrome.optimizers.velo.weights.tree import VeLOWeights, init_weights

# The oracle lives with the tests that use it.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "optimizers" / "velo"))
import oracle  # noqa: E402 - needs the path  # pyright: ignore[reportMissingImports] - likewise

NUM_STEPS = 1000
HIDDEN, BANK = 512, 256


def _mlp(*widths: int) -> dict[str, Any]:
    return {
        str(i): {"w": (rows, columns), "b": (columns,)}
        for i, (rows, columns) in enumerate(zip(widths, widths[1:], strict=False))
    }


def _conv() -> dict[str, Any]:
    channels = (3, 32, 64, 64)
    layers = {
        str(i): {"w": (3, 3, below, above), "b": (above,)}
        for i, (below, above) in enumerate(zip(channels, channels[1:], strict=False))
    }
    return {**layers, "output": {"w": (64, 10), "b": (10,)}}


def _transformer(width: int = 128, layers: int = 6, vocabulary: int = 1000) -> dict[str, Any]:
    norm = {"scale": (width,), "bias": (width,)}
    layer = {
        **{name: (width, width) for name in ("query", "key", "value", "out")},
        "up": {"w": (width, 4 * width), "b": (4 * width,)},
        "down": {"w": (4 * width, width), "b": (width,)},
        "norm1": norm,
        "norm2": norm,
    }
    blocks = {str(i): layer for i in range(layers)}
    return {"embed": (vocabulary, width), **blocks, "norm": norm}


#: Name to shapes: 1.5 k, 118 k, 57 k, 1.32 M (75 tensors) and 10.0 M parameters.
PROBLEMS = {
    "mlp-64-16-16-10": _mlp(64, 16, 16, 10),
    "mlp-784-128-128-10": _mlp(784, 128, 128, 10),
    "conv-57k": _conv(),
    "transformer-6x128": _transformer(),
    "mlp-10M": _mlp(1024, 2048, 2048, 1792, 10),
}


def arrays(name: str, seed: int) -> Any:
    """Return normal arrays of a problem's shapes."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(0.05 * rng.normal(size=shape), jnp.float32),
        PROBLEMS[name],
        is_leaf=lambda node: isinstance(node, tuple),
    )


def full_size_weights() -> VeLOWeights:
    """Return made-up weights of the official checkpoint's shapes."""
    weights = init_weights(jax.random.key(0), HIDDEN, BANK)
    keys = jax.random.split(jax.random.key(1), len(weights))
    noisy = (
        leaf + 0.01 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(weights, keys, strict=True)
    )
    return VeLOWeights(*noisy)


Step = Callable[..., tuple[Any, Any]]


def _of_transformation(tx: optax.GradientTransformationExtraArgs, params: Any) -> tuple[Step, Any]:
    def step(params: Any, state: Any, grads: Any, loss: Any) -> tuple[Any, Any]:
        updates, state = tx.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    return step, jax.jit(tx.init)(params)


def ours(params: Any) -> tuple[Step, Any]:
    """Return VeLO's step and first state."""
    return _of_transformation(velo_from_theta(full_size_weights(), NUM_STEPS), params)


def built_in(params: Any) -> tuple[Step, Any]:
    """Return those of VeLO with the weights that come with velodrome."""
    return _of_transformation(velo(NUM_STEPS, weights="velo-tiny"), params)


def per_tensor(params: Any) -> tuple[Step, Any]:
    """Return those of the straightforward implementation, tensor by tensor."""
    weights = full_size_weights()

    def step(params: Any, state: Any, grads: Any, loss: Any) -> tuple[Any, Any]:
        return oracle.update(weights, state, params, grads, loss, NUM_STEPS)[:2]

    return step, jax.jit(lambda p: oracle.init(weights, p, NUM_STEPS))(params)


def adam(params: Any) -> tuple[Step, Any]:
    """Return those of Adam."""
    return _of_transformation(optax.with_extra_args_support(optax.adam(1e-3)), params)


def lowered(step: Step, *args: Any) -> Any:
    """Return the step as a training loop would compile it: parameters and state are donated."""
    return jax.jit(step, donate_argnums=(0, 1)).lower(*args)


def compile_seconds(make: Callable[[Any], tuple[Step, Any]], name: str) -> float:
    """Return the seconds of tracing and compiling a step; no cache takes part."""
    params, grads = arrays(name, 0), arrays(name, 1)
    step, state = make(params)
    jax.clear_caches()
    start = time.perf_counter()
    lowered(step, params, state, grads, jnp.float32(2)).compile()
    return time.perf_counter() - start


class Arm:
    """A compiled step with its own parameters and state; a sample is some calls of it."""

    def __init__(self, make: Callable[[Any], tuple[Step, Any]], name: str, calls: int):
        params, self.grads = arrays(name, 0), arrays(name, 1)
        step, state = make(params)
        self.calls = calls
        self.step = lowered(step, params, state, self.grads, jnp.float32(2)).compile()
        self.params, self.state = params, state
        self.samples: list[float] = []

    def sample(self) -> None:
        start = time.perf_counter()
        for _ in range(self.calls):
            self.params, self.state = self.step(self.params, self.state, self.grads, jnp.float32(2))
        jax.block_until_ready((self.params, self.state))
        self.samples.append((time.perf_counter() - start) / self.calls)

    def milliseconds(self) -> float:
        """Return the median of all samples but the first."""
        return statistics.median(self.samples[1:]) * 1e3


def in_turns(arms: dict[str, Arm], rounds: int) -> dict[str, float]:
    """Return the milliseconds of a call of each; they take turns, because machines drift."""
    for _ in range(rounds + 1):
        for arm in arms.values():
            arm.sample()
    return {label: arm.milliseconds() for label, arm in arms.items()}
