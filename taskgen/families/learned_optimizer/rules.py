"""Update rules whose weights are what a task trains: learned optimizers for an inner problem.

They are those of the published tasks ``LOpt_*`` (Metz et al. 2020, arXiv 2009.11243, for the
per-parameter networks; Metz et al. 2022, arXiv 2203.11860, for the Adafactor features). A rule
sees the inner parameters as a list of tensors; its memory is a dictionary of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from velodrome.taskgen.families.learned_optimizer.features import (
    Features,
    adafactor_features,
    mlp_features,
)
from velodrome.taskgen.functions import Scalar
from velodrome.taskgen.nn.initializers import fan_in_truncated_normal

Weights = dict[str, jax.Array]
Tensors = list[jax.Array]

HORIZONS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
"""Time scales, in steps, of the features of how long a rule has been training."""

_NORMALIZER_EPSILON = 1e-5
_ADAM_EPSILON_ROOT = 1e-8


class Rule(NamedTuple):
    """An update rule.

    Attributes:
      init: ``init(key)`` returns the weights, a dictionary of arrays.
      start: ``start(tensors)`` returns the memory before the first step.
      update: ``update(weights, memory, tensors, gradients, iteration, step_multiplier,
        exp_multiplier)`` returns the new tensors and memory. ``iteration`` i32[] counts the steps
        before this one.
    """

    init: Callable[[jax.Array], Weights]
    start: Callable[[Tensors], PyTree]
    update: Callable[..., tuple[Tensors, PyTree]]


def make_rule(name: str, *, hidden_size: int, hidden_layers: int) -> Rule:
    """Return a rule of :data:`velodrome.taskgen.families.learned_optimizer.config.RULES`.

    Only rules with a network have hidden layers.
    """
    if name in ("mlp", "adafactor_mlp"):
        features = mlp_features() if name == "mlp" else adafactor_features()
        return _network_rule(features, [hidden_size] * hidden_layers)
    return {"sgd": _sgd, "sgdm": _momentum, "adam": _adam}[name]()


def _sgd() -> Rule:
    """Gradient descent whose logarithmic rate is trained."""

    def update(weights, memory, tensors, gradients, iteration, *multipliers):
        rate = jnp.exp(weights["log_rate"])
        return [p - rate * g for p, g in zip(tensors, gradients, strict=True)], memory

    return Rule(lambda key: {"log_rate": _log(0.01)}, lambda tensors: {}, update)


def _momentum() -> Rule:
    """Gradient descent with heavy-ball momentum; both numbers are trained."""

    def start(tensors):
        return {"trace": _named(jnp.zeros_like(p) for p in tensors)}

    def update(weights, memory, tensors, gradients, iteration, *multipliers):
        rate = jnp.exp(weights["log_rate"])
        decay = 1 - jnp.exp(weights["log_one_minus_momentum"])
        trace = [
            g + decay * old for g, old in zip(gradients, _listed(memory["trace"]), strict=True)
        ]
        moved = [p - rate * step for p, step in zip(tensors, trace, strict=True)]
        return moved, {"trace": _named(trace)}

    weights = {"log_rate": 0.01, "log_one_minus_momentum": 0.1}
    return Rule(lambda key: {name: _log(value) for name, value in weights.items()}, start, update)


def _adam() -> Rule:
    """Adam (Kingma and Ba 2014, arXiv 1412.6980); its four numbers are trained."""

    def start(tensors):
        zeros = [jnp.zeros_like(p) for p in tensors]
        return {"first": _named(zeros), "second": _named(zeros)}

    def update(weights, memory, tensors, gradients, iteration, *multipliers):
        rate, epsilon = jnp.exp(weights["log_rate"]), jnp.exp(weights["log_epsilon"])
        steps = jnp.asarray(iteration + 1, jnp.float32)
        decays, moments = [], []
        for power, (order, name) in enumerate((("first", "beta1"), ("second", "beta2")), start=1):
            decay = 1 - jnp.exp(weights[f"log_one_minus_{name}"])
            decays.append(decay)
            moments.append(
                [
                    decay * old + (1 - decay) * g**power
                    for g, old in zip(gradients, _listed(memory[order]), strict=True)
                ]
            )
        first, second = (1 / (1 - decay**steps) for decay in decays)
        moved = [
            p - rate * (m * first) / (jnp.sqrt(v * second + _ADAM_EPSILON_ROOT) + epsilon)
            for p, m, v in zip(tensors, *moments, strict=True)
        ]
        return moved, {"first": _named(moments[0]), "second": _named(moments[1])}

    weights = {
        "log_rate": 1e-3,
        "log_one_minus_beta1": 0.1,
        "log_one_minus_beta2": 1e-3,
        "log_epsilon": 1e-8,
    }
    return Rule(lambda key: {name: _log(value) for name, value in weights.items()}, start, update)


def _network_rule(features: Features, hidden: list[int]) -> Rule:
    """Build one network for every parameter: features to direction and magnitude."""
    sizes = [features.count + len(HORIZONS), *hidden, 2]

    def init(key):
        kernel_init = fan_in_truncated_normal()
        weights = features.init()
        for layer, shape in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            weights[f"kernel_{layer}"] = kernel_init(jax.random.fold_in(key, layer), shape)
            weights[f"bias_{layer}"] = jnp.zeros(shape[1], jnp.float32)
        return weights

    def start(tensors):
        return _named(features.start(_at_least_vector(p)) for p in tensors)

    def update(weights, memory, tensors, gradients, iteration, step_multiplier, exp_multiplier):
        seen, after = [], []
        for p, g, kept in zip(tensors, gradients, _listed(memory), strict=True):
            look, kept = features.look(weights, kept, _at_least_vector(p), _at_least_vector(g))
            seen.append(_normalized(look.reshape(features.count, -1)))
            after.append(kept)
        # All parameters share the time, so its part of the first layer is done once.
        first, time = weights["kernel_0"], _time_features(iteration)
        x = first[: features.count].T @ jnp.concatenate(seen, axis=1)
        x = x + (time @ first[features.count :] + weights["bias_0"])[:, None]
        for layer in range(1, len(sizes) - 1):
            x = weights[f"kernel_{layer}"].T @ jax.nn.relu(x) + weights[f"bias_{layer}"][:, None]
        steps = step_multiplier * x[0] * jnp.exp(exp_multiplier * x[1])
        parts = jnp.split(steps, np.cumsum([p.size for p in tensors])[:-1])
        moved = [p - part.reshape(p.shape) for p, part in zip(tensors, parts, strict=True)]
        return moved, _named(after)

    return Rule(init, start, update)


def _normalized(x: jax.Array) -> jax.Array:
    """Divide each row by the root of its mean square."""
    square = jnp.mean(x * x, axis=1, keepdims=True)
    return x * jax.lax.rsqrt(_NORMALIZER_EPSILON + square)


def _time_features(iteration: Scalar) -> jax.Array:
    time = jnp.asarray(iteration, jnp.float32)
    return jnp.tanh(time / jnp.asarray(HORIZONS, jnp.float32) - 1)


def _at_least_vector(x: jax.Array) -> jax.Array:
    return x.reshape(1) if x.ndim == 0 else x


def _log(value: float) -> jax.Array:
    return jnp.asarray(math.log(value), jnp.float32)


def _named(values: Iterable[PyTree]) -> dict[str, PyTree]:
    """Return a list as a dictionary, as tasks' states must be; sorted keys keep the order."""
    return {f"{index:03d}": value for index, value in enumerate(values)}


def _listed(values: dict[str, PyTree]) -> list[PyTree]:
    return [values[name] for name in sorted(values)]
