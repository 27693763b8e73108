"""What every task must do, as a table of checks: on its data, and on made-up batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.foundation.errors import VelodromeError
from velodrome.taskgen.build import build, open_source
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.cost.tracing import traced_cost
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.data.madeup import made_up_batch
from velodrome.taskgen.data.verify import verify
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.task import Task

_FLOPS_TOLERANCE = 0.10
# Two programs for the same numbers differ by rounding, which depth amplifies.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4

T = TypeVar("T")


def quick(function: Callable[..., T]) -> Callable[..., T]:
    """Compile with little care: checks compile much and compute little."""
    # Only the CPU's compiler has been found to be faster so.
    cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else None
    return jax.jit(function, compiler_options=options)


@dataclass(frozen=True, eq=False)
class Subject:
    """A task under test.

    Attributes:
      shapes: Shapes and types of its training batches.
    """

    task: Task
    shapes: dict[str, jax.ShapeDtypeStruct]

    def batch(self, seed: int = 0) -> dict[str, jax.Array]:
        """Return a made-up batch."""
        spec = self.task.spec
        made = made_up_batch(spec.view, spec.batch_size, seed=seed)
        return {name: jnp.asarray(array) for name, array in made.items()}

    # Compiled once and used by all checks: compiling is nearly all of their time.

    @cached_property
    def init(self) -> Callable[..., tuple[PyTree, PyTree]]:
        """The task's init, compiled."""
        return quick(self.task.init)

    @cached_property
    def evaluate(self) -> Callable[..., tuple[jax.Array, PyTree]]:
        """The task's loss in evaluation mode, compiled."""
        return quick(partial(self.task.loss, train=False))

    @cached_property
    def step(self) -> Callable[..., PyTree]:
        """The compiled ``(params, state, key, batch) -> ((loss, state), gradient)``."""
        return quick(self.gradient)

    @cached_property
    def initial(self) -> tuple[PyTree, PyTree]:
        """Parameters and state, from the key 0."""
        return self.init(jax.random.key(0))

    @cached_property
    def first(self) -> PyTree:
        """What `step` returns for the initial parameters and the key 1."""
        return self.step(*self.initial, jax.random.key(1), self.batch())

    def gradient(self, params: PyTree, state: PyTree, key: jax.Array, batch: PyTree) -> PyTree:
        """Return ``((loss, state), gradient)`` of a training step."""
        function = jax.value_and_grad(self.task.loss, has_aux=True)
        return function(params, state, key, batch, train=True)


def prepare(spec: TaskSpec) -> Subject:
    """Build the task of ``spec``, with what is needed to make batches for it."""
    return Subject(build(spec), batch_shapes(spec.view, spec.batch_size))


def check_spec(subject: Subject) -> None:
    """The spec survives JSON with the same hash."""
    spec = subject.task.spec
    again = TaskSpec.from_json(spec.to_json())
    require(again == spec and again.hash == spec.hash, "reading back its JSON gives another spec")


def check_cost(subject: Subject) -> None:
    """The closed form counts FLOPs within 10% of the traced program, and parameters exactly."""
    task = subject.task
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    compare_costs(task.cost, traced_cost(shapes, task.loss, subject.shapes))


def check_trees(subject: Subject) -> None:
    """Parameters and state are nested dictionaries of arrays, parameters float32."""
    params, state = subject.initial
    require(bool(jax.tree.leaves(params)), "there are no parameters")
    for what, tree in (("params", params), ("state", state)):
        require(_is_nested_dict(tree), f"{what} must be nested dictionaries of arrays")
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(params)}
    require(kinds == {"float32"}, f"parameters must be float32, found {', '.join(sorted(kinds))}")


def check_loss(subject: Subject) -> None:
    """The loss is a finite float32 scalar, its normal form finite, and the state keeps its form."""
    params, state = subject.initial
    arguments = (params, state, jax.random.key(1), subject.batch())
    for train in (True, False):
        loss, after = jax.eval_shape(partial(subject.task.loss, train=train), *arguments)
        shape = f"{loss.dtype.name}{list(loss.shape)}"
        require(shape == "float32[]", f"loss(train={train}) must be a float32 scalar, is {shape}")
        same = jax.tree.map(_form, after) == jax.tree.map(_form, state)
        require(same, f"loss(train={train}) changes shapes or types of the state")
    (training, _), _ = subject.first
    evaluation, _ = subject.evaluate(*arguments)
    for train, loss in ((True, training), (False, evaluation)):
        require(bool(jnp.isfinite(loss)), f"loss(train={train}) is {loss} at the start")
        normal = subject.task.normalize(loss)
        require(bool(jnp.isfinite(normal)), f"normalize({loss}) is {normal}")


def check_metrics(subject: Subject) -> None:
    """Metrics are (sum, count) pairs with "loss", which agrees with the loss in evaluation mode."""
    params, state = subject.initial
    arguments = (params, state, jax.random.key(1), subject.batch())
    metrics = quick(subject.task.metrics)(*arguments)
    require("loss" in metrics, f"the metrics {sorted(metrics)} lack 'loss'")
    total, count = metrics["loss"]
    loss, _ = subject.evaluate(*arguments)
    require(
        _close(total / count, loss),
        f"the metric 'loss' is {total / count:.6g}, the loss is {loss:.6g}",
    )
    if "accuracy" in metrics:
        right, labels = metrics["accuracy"]
        require(
            bool(0 <= right <= labels),
            f"the metric 'accuracy' counts {right:.6g} right answers of {labels:.6g} labels",
        )


def check_corpus(subject: Subject) -> None:
    """What corpus metrics collect has an axis of examples, and each of them gets a number."""
    corpus, spec = subject.task.corpus, subject.task.spec
    if corpus is None:
        return
    arguments = (*subject.initial, jax.random.key(1), subject.batch())
    collected = jax.device_get(quick(corpus.collect)(*arguments))
    for name, array in collected.items():
        require(
            array.shape[:1] == (spec.batch_size,),
            f"collect returns {name!r} of shape {list(array.shape)} for a batch of "
            f"{spec.batch_size} examples: its first axis must be theirs",
        )
    # Texts are made up as the batch is: a vocabulary may come with data that are not here.
    made_up = Dataset(
        spec.info, spec.dataset.load, decode=lambda tokens: " ".join(map(str, tokens))
    )
    found = sorted(corpus.score(collected, made_up))
    wanted = sorted(corpus.names)
    require(found == wanted, f"score returns numbers of {found}, not of {wanted}")


def check_gradients(subject: Subject) -> None:
    """Gradients are finite, and not all zero."""
    _, gradient = subject.first
    leaves = jax.tree.leaves(gradient)
    require(all(bool(jnp.isfinite(leaf).all()) for leaf in leaves), "a gradient is not finite")
    require(any(bool((leaf != 0).any()) for leaf in leaves), "all gradients are zero")


def check_seeds(subject: Subject) -> None:
    """Equal keys give equal numbers, bit for bit; other keys give other parameters or losses."""
    params, state = subject.initial
    again, _ = subject.init(jax.random.key(0))
    require(_equal(params, again), "init is not deterministic")
    other, _ = subject.init(jax.random.key(1))
    second, third = (
        subject.step(params, state, jax.random.key(key), subject.batch()) for key in (1, 2)
    )
    require(_equal(subject.first, second), "loss and gradients differ between equal calls")
    # The rates that a task tunes may all start at one value, but then the training differs.
    same = _equal(params, other) and _equal(second, third)
    require(not same, "init gives the same parameters for every key")


def check_vmap(subject: Subject) -> None:
    """A vmap over keys and batches gives what single calls give."""
    keys = jax.random.split(jax.random.key(2), 2)
    batches = [subject.batch(seed) for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)

    def initial_loss(key: jax.Array, batch: PyTree) -> jax.Array:
        params, state = subject.task.init(key)
        return subject.task.loss(params, state, key, batch, train=True)[0]

    lanes = quick(jax.vmap(initial_loss))(keys, stacked)
    single = (
        subject.step(*subject.init(k), k, b)[0][0] for k, b in zip(keys, batches, strict=True)
    )
    alone = jnp.stack(list(single))
    require(_close(lanes, alone), f"under vmap the losses are {lanes}, one by one {alone}")


def check_scan(subject: Subject) -> None:
    """Training steps run inside `jax.lax.scan`, and give what single steps give."""
    keys, batch = jax.random.split(jax.random.key(3), 2), subject.batch()

    def step(gradient: Callable[..., PyTree], carry: PyTree, key: jax.Array) -> PyTree:
        params, state = carry
        (loss, state), slope = gradient(params, state, key, batch)
        return (jax.tree.map(lambda p, g: p - 1e-6 * g, params, slope), state), loss

    inside = partial(step, subject.gradient)
    _, scanned = quick(lambda carry: jax.lax.scan(inside, carry, keys))(subject.initial)
    losses, carry = [], subject.initial
    for key in keys:
        carry, loss = step(subject.step, carry, key)
        losses.append(loss)
    alone = jnp.stack(losses)
    require(_close(scanned, alone), f"in a scan the losses are {scanned}, step by step {alone}")


def check_data(subject: Subject) -> None:
    """The data are what their data set declares, and the loss of a batch of them is finite."""
    spec = subject.task.spec
    verify(spec.dataset)
    batch = open_source(spec, "train").batch(0, 0, spec.batch_size)
    loss, _ = subject.evaluate(*subject.initial, jax.random.key(1), batch)
    require(bool(jnp.isfinite(loss)), f"the loss of the first batch of the data is {loss}")


def compare_costs(closed: Cost, traced: Cost) -> None:
    """Raise if a closed form is not what the traced program costs."""
    require(
        closed.params == traced.params,
        f"cost says {closed.params:,} parameters, the program has {traced.params:,}",
    )
    off = closed.flops / max(traced.flops, 1) - 1
    require(
        abs(off) <= _FLOPS_TOLERANCE,
        f"cost says {closed.flops:,} FLOPs, the program has {traced.flops:,} ({off:+.0%})",
    )


def require(condition: bool, problem: str) -> None:
    """Raise a VelodromeError with ``problem`` unless ``condition`` holds."""
    if not condition:
        raise VelodromeError(f"{problem}.")


#: The contract, by name.
CHECKS: dict[str, Callable[[Subject], None]] = {
    "spec": check_spec,
    "cost": check_cost,
    "trees": check_trees,
    "loss": check_loss,
    "metrics": check_metrics,
    "corpus": check_corpus,
    "gradients": check_gradients,
    "seeds": check_seeds,
    "vmap": check_vmap,
    "scan": check_scan,
    "data": check_data,
}


def _close(one: jax.Array, other: jax.Array) -> bool:
    return bool(jnp.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE))


def _form(leaf: jax.Array | jax.ShapeDtypeStruct) -> tuple[tuple[int, ...], str]:
    return leaf.shape, leaf.dtype.name


def _is_nested_dict(tree: PyTree) -> bool:
    if isinstance(tree, dict):
        return all(_is_nested_dict(value) for value in tree.values())
    return isinstance(tree, jax.Array)


def _equal(one: PyTree, other: PyTree) -> bool:
    return jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), one, other))
