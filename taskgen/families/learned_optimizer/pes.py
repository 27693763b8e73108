"""Training a learned optimizer by persistent evolution strategies (``LOptPES_*``).

Several inner problems are trained side by side, each by two perturbed copies of the rule, a few
inner steps for each outer step: truncated unrolls. The sum of an inner problem's perturbations is
kept, so that what earlier truncations did to a loss is credited to them (Vicol et al. 2021,
arXiv 2112.13835): the estimate has no truncation bias. Where the inner problems stand is the
task's state.

An inner problem is over after ``problem_length`` steps; the next step is spent on starting a new
one and gives no loss. At first the problems are spread over their lengths, so that they do not
start together.

Evaluation goes on from the state by one truncation with perturbed rules, as published, and forgets
where that led. (The published tasks evaluate all splits on training data; here each split has its
own.)
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
class LearnedOptimizerPESConfig(_inner_problem.InnerConfig):
    """Config of "learned_optimizer_pes"; distributions of Metz et al. 2022 (2211.09760).

    They are those of the published family ``lopt_trunc`` where its problems have a fixed length
    and its estimator is this one.

    Attributes:
      problems: Inner problems, each with an antithetic pair of rules.
      problem_length: Inner steps from a start to the next.
      unroll_length: Inner steps in a truncation; published from 1 on, but then the first estimate
        is zero, because the first loss is before the first update.
      std: Standard deviation of the perturbations.
    """

    problems: int = static(log_int(8, 64), allowed=(1, 4096), default=4)
    problem_length: int = static(log_int(10, 10_000), allowed=(1, 1_000_000), default=50)
    unroll_length: int = static(log_int(2, 100), allowed=(2, 100_000), default=5)
    std: float = static(fixed(0.01), allowed=(1e-6, 10.0), default=0.01)


def restarts(config: LearnedOptimizerPESConfig) -> int:
    """Returns how often an inner problem can start anew within a truncation."""
    return -(-config.unroll_length // (config.problem_length + 1))


def build(spec: TaskSpec, info: Any) -> Any:
    """Returns the task."""
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    from velodrome.taskgen.nn import evolution as _evolution

    config = spec.config
    inner = _inner_problem.open_inner(spec, info)
    per_problem = config.unroll_length * config.inner_batch_size
    signs = jnp.asarray([1.0, -1.0])

    def init(key: Any, dynamic: Any = None) -> tuple[Any, Any]:
        weights_key, start_key, counter_key = jax.random.split(key, 3)
        weights = inner.rule.init(weights_key)
        keys = jax.random.split(start_key, config.problems)
        carries = jax.vmap(inner.start, in_axes=(0, None))(keys, dynamic)
        state = {
            "carries": jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], axis=1), carries),
            "counter": jax.random.randint(
                counter_key, (config.problems,), 0, config.problem_length
            ),
            "perturbations": jax.tree.map(
                lambda leaf: jnp.zeros((config.problems, *leaf.shape)), weights
            ),
        }
        return weights, state

    def truncation(
        pair: Any, carries: Any, counter: Any, key: Any, batch: Any, first: Any, dynamic: Any
    ) -> Any:
        """Moves one inner problem on, with both of its rules.

        Returns:
          carries, counter, number of new starts; and for each step its losses f32[unroll, 2],
          1 if it counts, and 1 if it comes before any new start, both f32[unroll].
        """
        fresh_key, loop_key = jax.random.split(key)
        fresh_keys = jax.random.split(fresh_key, restarts(config))
        fresh = jax.vmap(inner.start, in_axes=(0, None))(fresh_keys, dynamic)

        def step(state: Any, index: Any) -> Any:
            carries, counter, started = state
            rows = first + index * config.inner_batch_size + jnp.arange(config.inner_batch_size)
            moved, values = jax.vmap(inner.step, in_axes=(0, 0, None, None, None))(
                pair,
                carries,
                jax.random.fold_in(loop_key, index),
                _inner_problem.deal(batch, rows),
                dynamic,
            )
            over = counter >= config.problem_length
            carries = jax.tree.map(
                lambda new, old: jnp.where(over, new[started][None], old), fresh, moved
            )
            counter = jnp.where(over, 0, counter + 1)
            counts, before = jnp.where(over, 0.0, 1.0), jnp.where(started > 0, 0.0, 1.0)
            return (carries, counter, jnp.where(over, started + 1, started)), (
                values,
                counts,
                before,
            )

        start = (carries, counter, jnp.int32(0))
        end, steps = jax.lax.scan(step, start, jnp.arange(config.unroll_length))
        return *end, *steps

    def estimate(weights: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        noise_key, problems_key = jax.random.split(key)
        noise = _evolution.unit_noise(noise_key, weights, config.problems)
        pairs = jax.tree.map(
            lambda leaf, step: (
                leaf[None, None] + config.std * step[:, None] * _column(signs, leaf)[None]
            ),
            weights,
            noise,
        )
        carries, counter, started, values, counts, before = jax.vmap(
            truncation, in_axes=(0, 0, 0, 0, None, 0, None)
        )(
            pairs,
            state["carries"],
            state["counter"],
            jax.random.split(problems_key, config.problems),
            batch,
            per_problem * jnp.arange(config.problems),
            dynamic,
        )
        share = counts / jnp.maximum(counts.sum(1, keepdims=True), 1.0)
        value = (share * values.mean(-1)).sum(1).mean()
        differences = share * (values[..., 0] - values[..., 1])
        # A loss after a new start is owed to the newest perturbation alone.
        old, new = (differences * before).sum(1), differences.sum(1)
        scale = 1 / (2 * config.std * config.problems)
        gradient = jax.tree.map(
            lambda sums, step: (
                scale * (jnp.tensordot(old, sums, axes=1) + jnp.tensordot(new, step, axes=1))
            ),
            state["perturbations"],
            noise,
        )
        # What has been forgotten: by a new start the earlier perturbations, and if that was the
        # last step this one too.
        sums = jax.tree.map(
            lambda sums, step: (
                jnp.where(_column(counter == 0, step[0]), 0.0, step)
                + jnp.where(_column(started > 0, step[0]), 0.0, sums)
            ),
            state["perturbations"],
            noise,
        )
        return value, {"carries": carries, "counter": counter, "perturbations": sums}, gradient

    estimated = _evolution.with_gradient(lambda *args: estimate(*args)[:2], estimate)

    def loss(
        params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None
    ) -> tuple[Any, Any]:
        value, moved = estimated(params, state, key, batch, dynamic)
        return value, moved if train else state

    return outer_task(spec, info, cost=cost(spec, info), init=init, loss=loss)


def _column(vector: Any, leaf: Any) -> Any:
    """Returns ``vector`` with as many axes after its own as ``leaf`` has."""
    return vector.reshape(-1, *(1,) * leaf.ndim)


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form: two unrolls for each inner problem."""
    config, step = spec.config, _inner_problem.step_cost(spec, info)
    each = 2 * config.unroll_length * step.forward + restarts(config) * step.start
    flops = config.problems * (each + 20 * step.weights)
    kept = 2 * config.problems * (step.carry_floats + step.kept_floats)
    return outer_cost(
        spec,
        info,
        step,
        flops=flops,
        evaluation_flops=flops,
        floats_moved=3 * config.unroll_length * kept,
        floats_kept=kept,
        kernels=2 * config.unroll_length * step.kernels,
    )


family = outer_family("learned_optimizer_pes", LearnedOptimizerPESConfig, build=build, cost=cost)
