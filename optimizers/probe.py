"""Find out by tracing what an optimizer needs, and what of it can be traced."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Collection, Hashable, Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from velodrome.foundation.canonical import canonical_json
from velodrome.optimizers.spec import NEEDS, OptimizerSpec

#: What a probed factory gets as ``num_steps``: some schedules refuse a small number.
_STEPS = 10_000

_KEYWORDS = NEEDS - {"num_steps"}


def required_keywords(transformation: optax.GradientTransformation) -> frozenset[str]:
    """Return the keywords of ``NEEDS`` that an update cannot do without."""
    needs: frozenset[str] = frozenset()
    while True:
        try:
            jax.eval_shape(lambda: _update(transformation, needs))  # noqa: B023 - called at once
        except TypeError as error:
            # Python's words for a missing argument; there is no other sign of it inside a chain.
            named = re.findall(r"'(\w+)'", str(error)) if "missing" in str(error) else ()
            found = _KEYWORDS & set(named) - needs
            if found:
                needs |= found
                continue
        except Exception:  # noqa: S110 - a user's optimizer may raise anything; its run reports it
            pass
        return needs


def described(error: BaseException) -> str:
    """Return an exception in words; in one line, with advice, if Python met a traced value."""
    text = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    if not isinstance(error, jax.errors.JAXTypeError):
        return text
    return (
        f"{text.splitlines()[0]} A Python `if`, `float` or numpy met a value that is traced: use "
        "jax.numpy (jnp.where, jax.lax.cond) for what changes from step to step, and declare "
        "hyperparameters static that the factory needs as numbers."
    )


def probed(spec: OptimizerSpec) -> OptimizerSpec:
    """Complete what a user's spec declares: add needs, and make hyperparameters static.

    Those become static that cannot be traced, such as a rate on which a schedule branches in
    Python. An optimizer that fails with numbers too stays as it is.
    """
    point = spec.points[len(spec.points) // 2]
    # A callable object may have no hash.
    probe = _probe if isinstance(spec.factory, Hashable) else _probe.__wrapped__
    needs, static = probe(spec.factory, canonical_json(point), spec.traced, spec.needs)
    if not static and needs == spec.needs:
        return spec
    traced = spec.traced - static
    return dataclasses.replace(spec, needs=needs, traced=traced, static=spec.static | static)


@functools.lru_cache(maxsize=256)
def _probe(
    factory: Callable[..., optax.GradientTransformation],
    point: str,
    traced: frozenset[str],
    needs: frozenset[str],
) -> tuple[frozenset[str], frozenset[str]]:
    """Return all needs, and which of ``traced`` must be static."""
    values = json.loads(point)
    if "num_steps" in needs:
        values["num_steps"] = _STEPS

    def fine(names: Collection[str]) -> bool:
        def update(lane: Mapping[str, jax.Array]) -> PyTree:
            return _update(optax.with_extra_args_support(factory(**{**values, **lane})), needs)

        try:
            jax.eval_shape(update, {name: jnp.asarray(values[name]) for name in names})
        except Exception:  # a user's factory may raise anything
            return False
        return True

    with contextlib.suppress(Exception):  # likewise; its run reports it
        needs |= required_keywords(factory(**values))
    swept = traced & values.keys()
    if fine(swept) or not fine(()):
        return needs, frozenset()
    return needs, frozenset(name for name in swept if not fine([name])) or swept


def update_arguments(
    needs: Collection[str],
    *,
    loss_fn: Callable[[PyTree], jax.Array],
    value: jax.Array,
    grad: PyTree,
    key: jax.Array,
) -> dict[str, object]:
    """Return exactly those keywords of an update that are among ``needs``."""
    known = {
        "value": value,
        "grad": grad,
        "value_fn": loss_fn,
        "grad_fn": jax.grad(loss_fn),
        "key": key,
    }
    return {name: known[name] for name in known if name in needs}


def _update(transformation: optax.GradientTransformation, needs: Collection[str]) -> PyTree:
    """Make an update of a few small parameters, to be traced only."""

    def loss_fn(params: PyTree) -> jax.Array:
        return jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)]))

    params = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}
    value, grad = jax.value_and_grad(loss_fn)(params)
    extra = update_arguments(needs, loss_fn=loss_fn, value=value, grad=grad, key=jax.random.key(0))
    state = transformation.init(params)
    return transformation.update(grad, state, params, **extra)
