"""A meta-training run in memory: which task is next, the outer optimizer, one outer step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from optimizers.metatrain.config import MetaTrainConfig, OuterConfig
from optimizers.metatrain.estimator import Estimate, estimate, perturb, sample_perturbations
from optimizers.metatrain.initial import initial_weights
from optimizers.metatrain.program import make_particles, repeat_each
from optimizers.metatrain.tasks import check_vary, draw_problems, open_task, sample_pool
from optimizers.metatrain.unroll import batches_needed
from optimizers.velo import VeLOWeights
from taskgen.draws import Draws
from taskgen.space import log_int

#: Lengths are rounded to a multiple of this, so that a horizon means the same in logs.
_LENGTH_STEP = 10


def scale_tree(scales: Mapping[str, float]) -> VeLOWeights:
    """Returns a scale for each array of the weights: that of its group, 1 for the others."""
    groups = {
        name: next((group for group in scales if name.startswith(group)), None)
        for name in VeLOWeights._fields
    }
    values: dict[str, Any] = {
        name: scales[group] if group else 1.0 for name, group in groups.items()
    }
    return VeLOWeights(**values)


class OuterState(NamedTuple):
    """All that changes from one outer step to the next."""

    theta: VeLOWeights
    average: VeLOWeights
    adam: Any


def outer_optimizer(config: OuterConfig) -> optax.GradientTransformationExtraArgs:
    """Returns Adam with clipping, warm-up and schedule."""
    peak = config.learning_rate
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(config.steps - config.warmup, 1), alpha=0.01)
    else:
        after = optax.constant_schedule(peak)
    warmup = optax.linear_schedule(peak / max(config.warmup, 1), peak, max(config.warmup, 1))
    schedule = optax.join_schedules([warmup, after], [config.warmup]) if config.warmup else after
    clip = optax.clip(config.clip) if config.clip > 0 else optax.identity()
    return optax.with_extra_args_support(
        optax.chain(clip, optax.adam(schedule, b1=config.b1, b2=config.b2))
    )


class MetaTrainer:
    """A meta-training run in memory. `loop.metatrain` adds directories, resuming and validation.

    Args:
      config: The run's config.
    """

    def __init__(self, config: MetaTrainConfig):
        self.config = config
        check_vary(config.tasks.vary, config.tasks.families)
        self.specs = sample_pool(
            config.tasks, seed=config.tasks.seed, per_family=config.tasks.per_family
        )
        self._programs: dict[int, Any] = {}
        self._outer = outer_optimizer(config.outer)
        self._apply = jax.jit(self._apply_gradient)
        self._perturb = jax.jit(self._perturbed)
        self._estimate = jax.jit(self._estimated)

    def init(self) -> OuterState:
        """Returns the state before the first outer step."""
        key = jax.random.key(Draws(self.config.seed, "weights").word("key") >> 32)
        theta = initial_weights(key, self.config.architecture)
        theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), theta)
        return OuterState(theta, theta, self._outer.init(theta))

    def step(self, state: OuterState, index: int) -> tuple[OuterState, dict[str, Any]]:
        """Makes outer step ``index``: a pure function of the config, the state and the index."""
        estimator, tasks, unroll = self.config.estimator, self.config.tasks, self.config.unroll
        draws = Draws(self.config.seed, "outer step", index)
        record: dict[str, Any] = {"step": index, "tasks": [], "inner_steps": 0, "dropped": 0}
        gradients = []
        for slot in range(estimator.tasks_per_step):
            position = self.task_position(index * estimator.tasks_per_step + slot)
            inner, run = self._program(position)
            here = draws.child(slot)
            problems = draw_problems(
                inner,
                here,
                count=estimator.pairs,
                batches=batches_needed(unroll, longest=unroll.high),
                reparam_probability=tasks.reparam_probability,
                reparam_range=tasks.reparam_range,
            )
            length = self._length(here)
            key = jax.random.key(here.word("perturbations") >> 32)
            particles = self._perturb(state.theta, key)
            outcome = run(particles, repeat_each(problems, 2), length)
            found = self._estimate(state.theta, key, outcome.objective)
            dropped = int(found.dropped)
            if dropped < estimator.pairs:
                gradients.append(found.gradient)
            loss = float(found.loss)
            record["tasks"].append(
                {
                    "task": inner.spec.label,
                    "family": inner.spec.family,
                    "length": length,
                    "loss": loss if loss == loss else None,  # NaN: every pair was dropped
                    "difference": float(found.difference),
                }
            )
            record["inner_steps"] += 2 * estimator.pairs * length
            record["dropped"] += dropped
        if gradients:
            mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *gradients)
            state, norm = self._apply(state, mean)
            record["gradient_norm"] = float(norm)
        return state, record

    def task_position(self, turn: int) -> int:
        """Which task has the turn: every round visits the whole pool, families taking turns."""
        families, size = len(self.config.tasks.families), self.config.tasks.per_family
        round_, place = divmod(turn, families * size)
        row, family = divmod(place, families)
        draws = Draws(self.config.seed, "order", round_, family)
        order = sorted(range(size), key=lambda entry: draws.child(entry).word("rank"))
        return order[row] * families + family

    def _length(self, draws: Draws) -> int:
        low, high = self.config.unroll.low, self.config.unroll.high
        if low == high:
            return low
        length = log_int(low, high + 1).sample(draws, "length")
        return max(low, length - length % _LENGTH_STEP)

    def _program(self, position: int) -> Any:
        if position not in self._programs:
            inner = open_task(self.specs[position], vary=self.config.tasks.vary)
            self._programs[position] = (inner, make_particles(inner, self.config.unroll))
        return self._programs[position]

    def _perturbed(self, theta: VeLOWeights, key: Array) -> VeLOWeights:
        """Returns the weights of all particles: plus and minus of the first pair, and so on."""
        estimator = self.config.estimator
        noise = sample_perturbations(key, theta, pairs=estimator.pairs)
        scales = scale_tree(estimator.scales)
        both = perturb(theta, noise, scales, sigma=estimator.sigma)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), both)

    def _estimated(self, theta: VeLOWeights, key: Array, losses: Array) -> Estimate:
        """Returns the estimate from the particles' losses; the perturbations are drawn again."""
        estimator = self.config.estimator
        noise = sample_perturbations(key, theta, pairs=estimator.pairs)
        pairs = losses.reshape(estimator.pairs, 2)
        return estimate(pairs, noise, sigma=estimator.sigma, shaping=estimator.shaping)

    def _apply_gradient(self, state: OuterState, gradient: VeLOWeights) -> Any:
        updates, adam = self._outer.update(gradient, state.adam, state.theta)
        scales = scale_tree(self.config.estimator.scales)
        theta = jax.tree.map(
            lambda leaf, update, scale: leaf + scale * update, state.theta, updates, scales
        )
        # The average forgets its first values as fast as it can: by the plain mean at first.
        decay = jnp.minimum(self.config.outer.average, 1.0 - 1.0 / (_count(adam) + 1.0))
        average = jax.tree.map(
            lambda old, new: decay * old + (1.0 - decay) * new, state.average, theta
        )
        return OuterState(theta, average, adam), optax.global_norm(gradient)


def _count(adam: Any) -> jax.Array:
    counts = [
        leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(adam)[0]
        if "count" in jax.tree_util.keystr(path)
    ]
    return counts[0].astype(jnp.float32)
