"""The compiled programs of a lane: initialise, train for an interval, evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import PyTree

from velodrome.optimizers.evaluated import evaluated_params, evaluates_elsewhere
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import Hyperparameters
from velodrome.suites.protocol import Protocol
from velodrome.suites.training.placement import Placement
from velodrome.suites.training.rng import EVAL_SEED, Stream, key_of
from velodrome.suites.training.timed_jit import TimedJit
from velodrome.taskgen.data.gather import as_floats
from velodrome.taskgen.task import Task

Metrics = dict[str, jax.Array]
Function = TypeVar("Function", bound=Callable[..., object])
Keeper = Callable[[PyTree], PyTree]


class LaneState(NamedTuple):
    """Everything that training changes.

    Attributes:
      diverged_at: i32[], the first step with a loss that is not finite; -1 while there is none.
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    diverged_at: jax.Array


class Traced(NamedTuple):
    """What differs between the lanes of a program.

    Attributes:
      hyperparameters: Traced hyperparameters by name; each a scalar, or ``[point]``.
      point: i32[] or ``[point]``. Nothing is computed from it: it gives the lanes of an optimizer
        without hyperparameters an axis.
    """

    hyperparameters: Mapping[str, ArrayLike]
    point: ArrayLike


class TaskPrograms:
    """Programs that only the task and the protocol determine: all optimizers share them.

    Args:
      lanes: Whether they run ``[seed, point]`` lanes at once instead of one.
      eval_slice: Examples that an evaluation looks at together; 0 is all of them.
      placement: The devices that one lane is trained on together; None: it has one.

    Attributes:
      corpus: The corpus metrics of the task; None if it has none, or the protocol asks for none.
      corpus_slice: Examples that these look at together, at most.
    """

    def __init__(
        self,
        task: Task,
        protocol: Protocol,
        *,
        lanes: bool,
        eval_slice: int = 0,
        placement: Placement | None = None,
    ):
        self.task = task
        self.placement = placement
        train_mode = protocol.eval_mode == "training-loss"
        batches = protocol.eval_batch_count
        keep_state, keep_examples = _keepers(placement)

        def init(seed: ArrayLike) -> tuple[PyTree, PyTree]:
            return keep_state(task.init(key_of(seed, Stream.INIT)))

        def evaluate(
            params: PyTree, model_state: PyTree, batch: PyTree, seed: ArrayLike, step: ArrayLike
        ) -> Metrics:
            key = key_of(seed, Stream.EVAL, step)

            def totals_of(part: PyTree, key: jax.Array = key) -> PyTree:
                part = keep_examples(part)
                totals = task.metrics(params, model_state, key, part, train=train_mode)
                return jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), totals)

            # Statistics over a batch, in training mode, must see the whole batch.
            if train_mode and batches:
                parts, keys = _split(batch, batches), jax.random.split(key, batches)
                every = jax.lax.map(lambda inputs: totals_of(*inputs), (parts, keys))
                totals = jax.tree.map(lambda sums: sums.sum(0), every)
            elif not train_mode and (parts := _sliced(batch, eval_slice)) is not None:
                totals = jax.tree.map(lambda sums: sums.sum(0), jax.lax.map(totals_of, parts))
            else:
                totals = totals_of(batch)
            return {name: total / count for name, (total, count) in totals.items()}

        def loss(*args: PyTree) -> Metrics:
            # Much cheaper than all metrics: an accuracy costs more than a small model's forward
            # pass, and what is not returned is not computed.
            return {"loss": evaluate(*args)["loss"]}

        self.corpus = task.corpus if protocol.corpus_examples else None
        together = protocol.examples_together(task.spec.batch_size)
        self.corpus_slice = min(together, eval_slice) if eval_slice else together

        def collect(params: PyTree, model_state: PyTree, batch: PyTree) -> PyTree:
            assert self.corpus is not None  # else nobody asks
            key = key_of(EVAL_SEED, Stream.EVAL)
            return self.corpus.collect(params, model_state, key, keep_examples(batch))

        over_lanes = _evaluate_over_lanes if lanes else lambda function: function
        self.init = TimedJit(jax.vmap(init) if lanes else init, quick=True)
        self._evaluate = {
            "train": TimedJit(over_lanes(loss)),
            "heldout": TimedJit(over_lanes(evaluate)),
        }
        self.collect = TimedJit(_collect_over_lanes(collect) if lanes else collect)

    def evaluate(
        self,
        split: str,
        params: PyTree,
        model_state: PyTree,
        batch: PyTree,
        seed: ArrayLike,
        step: ArrayLike,
    ) -> Metrics:
        """Return ``{metric: f32[]}``: the loss on the train split, all metrics on the other."""
        return self._evaluate[split](params, model_state, batch, seed, step)


class LanePrograms:
    """Programs of one optimizer on one task.

    Args:
      horizon: Updates that the run makes; optimizers that need ``num_steps`` get it.
      static: Hyperparameters that are Python values; the others are arguments.
      lanes: Whether they run ``[seed, point]`` lanes at once instead of one.
    """

    def __init__(
        self,
        task: TaskPrograms,
        optimizer: OptimizerSpec,
        *,
        horizon: int,
        static: Hyperparameters,
        lanes: bool,
    ):
        self.shared = task
        num_steps = horizon if "num_steps" in optimizer.needs else None

        def make(traced: Traced) -> optax.GradientTransformationExtraArgs:
            return optimizer.make({**static, **traced.hyperparameters}, num_steps=num_steps)

        def start(params: PyTree, model_state: PyTree, traced: Traced) -> LaneState:
            opt_state = make(traced).init(params)
            # Copies, because a lane gives its buffers away at every call and lanes start alike.
            params, model_state = jax.tree.map(jnp.copy, (params, model_state))
            state = LaneState(params, model_state, opt_state, jnp.int32(-1))
            return keep_state(jax.tree.map(_strong, state))

        keep_state, _ = _keepers(task.placement)
        train = _trainer(task.task, optimizer, make, task.placement)
        averaged = optimizer.eval_params or evaluated_params
        if lanes:
            start = jax.vmap(jax.vmap(start, in_axes=(None, None, 0)), in_axes=(0, 0, None))
            train = jax.vmap(
                jax.vmap(train, in_axes=(0, 0, None, None, None)), in_axes=(0, None, 0, 0, None)
            )
            averaged = jax.vmap(jax.vmap(averaged))
        self.start = TimedJit(start, quick=True)
        self.train = TimedJit(train, donate_argnums=(0,))
        self._declared = optimizer.eval_params is not None
        self._averaged = jax.jit(averaged)

    def evaluate(
        self, split: str, state: LaneState, batch: PyTree, seed: ArrayLike, step: ArrayLike
    ) -> Metrics:
        """Return ``{metric: f32[]}`` (or ``[seed, point]``) of the evaluated parameters."""
        params = self._evaluated(state)
        return self.shared.evaluate(split, params, state.model_state, batch, seed, step)

    def collect(self, state: LaneState, batch: PyTree) -> PyTree:
        """Return what corpus metrics need of a batch, with the lane axes first."""
        return self.shared.collect(self._evaluated(state), state.model_state, batch)

    def _evaluated(self, state: LaneState) -> PyTree:
        if self._declared or evaluates_elsewhere(state.opt_state):
            return self._averaged(state.opt_state, state.params)
        return state.params


def _sliced(batch: PyTree, size: int) -> PyTree:
    """Split examples into equal slices of at most ``size``; None if they stay together."""
    examples = jax.tree.leaves(batch)[0].shape[0]
    if size == 0 or examples <= size:
        return None
    # The largest size that divides the examples; far smaller ones would not be worth it.
    fitting = [length for length in range(size, size // 2, -1) if examples % length == 0]
    return _split(batch, examples // fitting[0]) if fitting else None


def _split(batch: PyTree, count: int) -> PyTree:
    """Split examples into ``count`` equal parts, on a new first axis."""
    return jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), batch)


def _evaluate_over_lanes(evaluate: Function) -> Function:
    points = jax.vmap(evaluate, in_axes=(0, 0, None, None, None))
    return jax.vmap(points, in_axes=(0, 0, 0, 0, None))


def _collect_over_lanes(collect: Function) -> Function:
    return jax.vmap(jax.vmap(collect, in_axes=(0, 0, None)), in_axes=(0, 0, None))


def _keepers(placement: Placement | None) -> tuple[Keeper, Keeper]:
    """Return what tells the compiler where a state and where a batch is kept."""
    if placement is None:
        return (lambda tree: tree), (lambda tree: tree)
    return placement.keep_state, placement.keep_examples


def _strong(leaf: ArrayLike) -> jax.Array:
    """Fix the type of a leaf that is weakly typed at first: it would compile twice."""
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    return jax.lax.convert_element_type(leaf, leaf.dtype)


def _trainer(
    task: Task,
    optimizer: OptimizerSpec,
    make: Callable[[Traced], optax.GradientTransformationExtraArgs],
    placement: Placement | None,
) -> Callable[[LaneState, Traced, PyTree, ArrayLike, ArrayLike], LaneState]:
    """Return ``train(state, traced, batches, seed, start) -> state``: one step per batch."""
    needs = optimizer.needs
    keep_state, keep_examples = _keepers(placement)

    def train(
        state: LaneState, traced: Traced, batches: PyTree, seed: ArrayLike, start: ArrayLike
    ) -> LaneState:
        update = make(traced).update
        if placement is not None:
            update = placement.tells(update)

        def step(state: LaneState, inputs: tuple[PyTree, jax.Array]) -> tuple[LaneState, None]:
            stored, index = inputs
            batch = keep_examples(as_floats(stored))
            loss_key = key_of(seed, Stream.LOSS, index)

            def loss_of(params: PyTree) -> tuple[jax.Array, PyTree]:
                return task.loss(params, state.model_state, loss_key, batch, train=True)

            (loss, model_state), grad = jax.value_and_grad(loss_of, has_aux=True)(state.params)
            grad = keep_state(grad)
            offered = {
                "value": lambda: loss,
                "grad": lambda: grad,
                "value_fn": lambda: lambda params: loss_of(params)[0],
                "grad_fn": lambda: jax.grad(lambda params: loss_of(params)[0]),
                "key": lambda: key_of(seed, Stream.OPTIMIZER, index),
            }
            extra = {name: give() for name, give in offered.items() if name in needs}
            updates, opt_state = update(grad, state.opt_state, state.params, **extra)
            params = optax.apply_updates(state.params, updates)
            diverged_at = jnp.where(
                (state.diverged_at < 0) & ~jnp.isfinite(loss), index, state.diverged_at
            )
            return keep_state(LaneState(params, model_state, opt_state, diverged_at)), None

        count = jax.tree.leaves(batches)[0].shape[0]
        indices = jnp.asarray(start + jnp.arange(count, dtype=jnp.int32))
        state, _ = jax.lax.scan(step, state, (batches, indices))
        # The loss of the next step would show it too, but the last update has no next step.
        finite = jnp.all(
            jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state.params)])
        )
        diverged_at = jnp.where(
            (state.diverged_at < 0) & ~finite, start + np.int32(count), state.diverged_at
        )
        # Said once more: a loop does not hand on what is said inside.
        return keep_state(state._replace(diverged_at=diverged_at))

    return train
