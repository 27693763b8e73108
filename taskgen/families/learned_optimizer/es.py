"""Training a learned optimizer: the parameters are an update rule's weights.

The published tasks ``LOpt_*`` and the published family ``lopt``. The loss is the mean training
loss of an inner task over an unroll from a fresh initialisation, and its gradient is taken through
the unroll, or estimated by evolution strategies. Every evaluation of the loss starts a new inner
problem; evaluation is the same on held-out examples.

A batch is dealt out to the inner batches of the unroll in order, starting again at its end where
it is too small. The published tasks never start again: their batch is as large as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.families.learned_optimizer import inner as _inner_problem
from velodrome.taskgen.families.learned_optimizer.outer import outer_cost, outer_family, outer_task
from velodrome.taskgen.space.config import fixed, log_int, static
from velodrome.taskgen.spec import TaskSpec


@dataclass(frozen=True)
class LearnedOptimizerConfig(_inner_problem.InnerConfig):
    """Config of the family "learned_optimizer"; distributions of Metz et al. 2022 (2211.09760).

    Attributes:
      unroll_length: Inner steps; published from 1 on, but the loss of the first is before the first
        update, so that a rule has no gradient from it alone.
      problems: Inner problems whose mean is the loss.
      es_pairs: 0: the gradient is the true one, through the unroll. Otherwise it is estimated
        from so many antithetic pairs of perturbed rules.
      es_std: Standard deviation of the perturbations.
    """

    unroll_length: int = static(log_int(2, 100), allowed=(2, 100_000), default=10)
    problems: int = static(log_int(1, 8), allowed=(1, 1024), default=1)
    es_pairs: int = static(fixed(0), allowed=(0, 1024), default=0)
    es_std: float = static(fixed(0.01), allowed=(1e-6, 10.0), default=0.01)


def build(spec: TaskSpec, info: Any) -> Any:
    """Returns the task."""
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    from velodrome.taskgen.nn.evolution import evolution_gradient, with_gradient

    config = spec.config
    inner = _inner_problem.open_inner(spec, info)
    per_problem = config.unroll_length * config.inner_batch_size

    def init(key: Any, dynamic: Any = None) -> tuple[Any, Any]:
        del dynamic  # nothing of it is in the rule's weights
        return inner.rule.init(key), {}

    def unrolled(weights: Any, key: Any, batch: Any, first: Any, dynamic: Any) -> Any:
        """Returns the mean loss of an inner problem whose examples start with ``first``."""
        start_key, loop_key = jax.random.split(key)

        def step(carry: Any, index: Any) -> tuple[Any, Any]:
            rows = first + index * config.inner_batch_size + jnp.arange(config.inner_batch_size)
            step_key = jax.random.fold_in(loop_key, index)
            return inner.step(weights, carry, step_key, _inner_problem.deal(batch, rows), dynamic)

        # Only the carries are kept for the backward pass; a step is computed again there.
        step = jax.checkpoint(step, prevent_cse=False)
        indices = jnp.arange(config.unroll_length)
        _, values = jax.lax.scan(step, inner.start(start_key, dynamic), indices)
        return values.mean()

    def meta_loss(weights: Any, state: Any, key: Any, batch: Any, dynamic: Any, count: int) -> Any:
        keys = jax.random.split(key, count)
        firsts = per_problem * jnp.arange(count)
        problems = jax.vmap(unrolled, in_axes=(None, 0, None, 0, None))
        return problems(weights, keys, batch, firsts, dynamic).mean(), state

    def training_loss(weights: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        return meta_loss(weights, state, key, batch, dynamic, config.problems)

    estimated = training_loss
    if config.es_pairs:
        gradient = evolution_gradient(
            training_loss, pairs=config.es_pairs, std=lambda dynamic: config.es_std
        )
        estimated = with_gradient(training_loss, gradient)

    def loss(
        params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None
    ) -> tuple[Any, Any]:
        del train  # an evaluation trains the inner task as well
        return estimated(params, state, key, batch, dynamic)

    return outer_task(spec, info, cost=cost(spec, info), init=init, loss=loss)


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form.

    With the gradient through the unroll, every inner step is done twice and differentiated once.
    """
    config, step = spec.config, _inner_problem.step_cost(spec, info)
    unrolls = config.problems
    each = config.unroll_length * step.forward + step.start
    if config.es_pairs:
        passes = 1 + 2 * config.es_pairs
        flops = passes * unrolls * each
        kept = passes * unrolls * (step.carry_floats + step.kept_floats)
        kernels = 2 * config.unroll_length * step.kernels
    else:
        flops = unrolls * (each + config.unroll_length * (step.forward + step.reverse))
        kept = unrolls * (config.unroll_length * step.carry_floats + step.kept_floats)
        kernels = 4 * config.unroll_length * step.kernels
    return outer_cost(
        spec,
        info,
        step,
        flops=flops,
        evaluation_flops=unrolls * each,
        floats_moved=(flops // max(step.forward, 1)) * 3 * (step.carry_floats + step.kept_floats),
        floats_kept=kept,
        kernels=kernels,
    )


family = outer_family("learned_optimizer", LearnedOptimizerConfig, build=build, cost=cost)
