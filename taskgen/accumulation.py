"""Gradient accumulation: a batch that goes through a network in parts, one after the other.

The memory for activations is that of a part. The loss is still a mean over the whole batch: sums
and counts of the parts are added up, and the gradient is divided by the whole count.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.functions import Batch, Dynamic, Loss, Metrics, MetricsOf
from velodrome.taskgen.nn.evolution import with_gradient

Measure = Callable[[PyTree, PyTree, jax.Array, Batch, bool, Dynamic | None], tuple[Metrics, PyTree]]
"""``measure(params, state, key, batch, train, dynamic)`` returns {metric: (sum, count)}, with
"loss", and the new state. Counts are constants: they do not depend on parameters."""


def in_parts(measure: Measure, size: int) -> tuple[Loss, MetricsOf]:
    """Return the loss and the metrics of a task that sees ``size`` examples at a time in training.

    A part draws its own random numbers, and statistics over a batch are those of a part; the new
    state is the average over the parts. Sums differ from those of a whole batch in the order of
    their terms. The objectives here count at least 1, so a part in which nothing counts adds 1.

    Raises:
      SpecError: When it is trained on a batch that does not divide.
    """

    def whole(params, state, key, batch, dynamic):
        def part(total: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
            key, examples = inputs
            found, after = measure(params, state, key, examples, True, dynamic)
            return _added(total, (found["loss"], after), count), None

        count, inputs = _split(key, batch, size)
        zero = (jnp.zeros((), jnp.float32),) * 2
        (loss, after), _ = jax.lax.scan(part, (zero, _zeros(state)), inputs)
        return loss[0] / loss[1], after

    def gradient(params, state, key, batch, dynamic):
        def part(total: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
            key, examples = inputs

            def summed(params: PyTree) -> tuple[jax.Array, PyTree]:
                found, after = measure(params, state, key, examples, True, dynamic)
                loss, counted = found["loss"]
                return loss, (counted, after)

            (loss, (counted, after)), slope = jax.value_and_grad(summed, has_aux=True)(params)
            sums, slopes = total
            slopes = jax.tree.map(jnp.add, slopes, slope)
            return (_added(sums, ((loss, counted), after), count), slopes), None

        count, inputs = _split(key, batch, size)
        zero = (jnp.zeros((), jnp.float32),) * 2
        start = ((zero, _zeros(state)), jax.tree.map(jnp.zeros_like, params))
        (((loss, counted), after), slope), _ = jax.lax.scan(part, start, inputs)
        return loss / counted, after, jax.tree.map(lambda leaf: leaf / counted, slope)

    trained = with_gradient(whole, gradient)

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        if train:
            return trained(params, state, key, batch, dynamic)
        found, after = measure(params, state, key, batch, False, dynamic)
        total, count = found["loss"]
        return total / count, after

    def metrics(params, state, key, batch, *, train=False, dynamic: Dynamic | None = None):
        # Evaluation as in training sees what training sees, where it divides.
        if not train or _examples(batch) % size:
            return measure(params, state, key, batch, train, dynamic)[0]
        _, inputs = _split(key, batch, size)

        def part(inputs: tuple[jax.Array, Batch]) -> dict[str, tuple[jax.Array, jax.Array]]:
            key, examples = inputs
            return dict(measure(params, state, key, examples, True, dynamic)[0])

        return jax.tree.map(lambda leaf: leaf.sum(0), jax.lax.map(part, inputs))

    return loss, metrics


def _examples(batch: Batch) -> int:
    return jax.tree.leaves(batch)[0].shape[0]


def _split(key: jax.Array, batch: Batch, size: int) -> tuple[int, tuple[jax.Array, Batch]]:
    """Return the number of parts, and on a new first axis their keys and examples."""
    examples = _examples(batch)
    if examples % size:
        raise SpecError(
            "grad_accumulation",
            examples,
            f"left out: the parts of {size} examples do not divide a batch of {examples}",
        )
    count = examples // size

    def split(leaf: jax.Array) -> jax.Array:
        # Every count-th example: where a batch is spread over devices, so is each part.
        return jnp.swapaxes(leaf.reshape(size, count, *leaf.shape[1:]), 0, 1)

    return count, (jax.random.split(key, count), jax.tree.map(split, batch))


def _is_float(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _zeros(state: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if _is_float(leaf) else leaf, state)


def _added(total: PyTree, found: PyTree, count: int) -> PyTree:
    """Add sums and counts, and the share of a part in the state; take what is no float from it."""
    (losses, state), (more, after) = total, found
    losses = tuple(one + jnp.float32(other) for one, other in zip(losses, more, strict=True))

    def mean(leaf: jax.Array, new: jax.Array) -> jax.Array:
        return leaf + new / count if _is_float(leaf) else new

    return losses, jax.tree.map(mean, state, after)
