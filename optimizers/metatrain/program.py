"""The compiled programs of one task: a gradient estimate, and plain evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import optax
from jaxtyping import Array

from optimizers.metatrain.config import EstimatorConfig, UnrollConfig
from optimizers.metatrain.estimator import Estimate, estimate, perturb, sample_perturbations
from optimizers.metatrain.tasks import InnerTask
from optimizers.metatrain.unroll import Outcome, Problem, make_unroll
from optimizers.velo import VeLOWeights, velo_from_theta

MakeOptimizer = Callable[[Any, Array], optax.GradientTransformationExtraArgs]


def scale_tree(theta: VeLOWeights, scales: Mapping[str, float]) -> VeLOWeights:
    """Returns a scale for each array of ``theta``: that of its group, 1 for the others."""
    groups = {
        name: next((group for group in scales if name.startswith(group)), None)
        for name in theta._fields
    }
    return VeLOWeights(**{name: scales[group] if group else 1.0 for name, group in groups.items()})


def make_gradient(
    inner: InnerTask, estimator: EstimatorConfig, unroll: UnrollConfig
) -> Callable[[VeLOWeights, Array, Problem, int], Estimate]:
    """Returns ``gradient(theta, key, problems, steps)``, compiled once for all lengths.

    The perturbation of each pair is drawn from ``key``; the problems have a leading pair axis,
    and both members of a pair run the same problem, side by side in one batch.
    """
    run = make_unroll(inner.task, inner.source.gather, velo_from_theta, unroll, longest=unroll.high)
    # Members of a pair share the batch, which is gathered once.
    pair = jax.vmap(run, in_axes=(0, None, None, None))
    pairs = jax.vmap(pair, in_axes=(0, 0, None, None))

    @jax.jit
    def gradient(theta, key, problems, steps, arrays):
        noise = sample_perturbations(key, theta, pairs=estimator.pairs)
        scales = scale_tree(theta, estimator.scales)
        particles = perturb(theta, noise, scales, sigma=estimator.sigma)
        outcome = pairs(particles, problems, steps, arrays)
        return estimate(outcome.objective, noise, sigma=estimator.sigma, shaping=estimator.shaping)

    return lambda theta, key, problems, steps: gradient(
        theta, key, problems, steps, inner.source.arrays
    )


def make_evaluation(
    inner: InnerTask, unroll: UnrollConfig, make_optimizer: MakeOptimizer = velo_from_theta
) -> Callable[[Any, Problem, int], Outcome]:
    """Returns ``evaluate(weights, problems, steps)``: outcomes ``[weights, problems]``.

    Both the optimizer's weights and the problems have a leading axis.
    """
    run = make_unroll(inner.task, inner.source.gather, make_optimizer, unroll, longest=unroll.high)
    each_problem = jax.vmap(run, in_axes=(None, 0, None, None))
    evaluate = jax.jit(jax.vmap(each_problem, in_axes=(0, None, None, None)))
    return partial(_with_arrays, evaluate, inner)


def _with_arrays(evaluate: Any, inner: InnerTask, weights: Any, problems: Problem, steps: int):
    return evaluate(weights, problems, steps, inner.source.arrays)
