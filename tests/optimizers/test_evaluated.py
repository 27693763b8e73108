"""Where an optimizer is evaluated is found in its state, whatever wraps it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.evaluated import evaluated_params, evaluates_elsewhere

PARAMS = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(3.0)}


def schedule_free() -> optax.GradientTransformationExtraArgs:
    return optax.contrib.schedule_free_sgd(0.1, b1=0.9)


def stepped(tx: optax.GradientTransformation, steps: int) -> tuple[Any, Any]:
    """Return the parameters and the state after some steps down the gradient ``params``."""
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize(
    "wrapped",
    [
        schedule_free(),
        optax.chain(optax.clip_by_global_norm(1e6), schedule_free()),
        optax.named_chain(("it", schedule_free())),
        optax.inject_hyperparams(optax.contrib.schedule_free_sgd)(0.1, b1=0.9),
        optax.apply_if_finite(schedule_free(), 3),
        optax.masked(schedule_free(), {"a": True, "b": True}),
        optax.partition({"x": schedule_free(), "y": schedule_free()}, {"a": "x", "b": "y"}),
    ],
)
def test_schedule_free_is_evaluated_at_its_average(wrapped):
    """The average is the mean of the base optimizer's iterates, as the rate is constant."""
    params, state = stepped(wrapped, steps=4)
    y, base, x = PARAMS, PARAMS, PARAMS
    for step in range(4):
        base = jax.tree.map(lambda z, g: z - 0.1 * g, base, y)
        x = jax.tree.map(lambda x, z, n=step: x + (z - x) / (n + 1), x, base)
        y = jax.tree.map(lambda x, z: 0.9 * x + 0.1 * z, x, base)
    assert evaluates_elsewhere(state)
    found = evaluated_params(state, params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), params, y)


def test_parameters_that_schedule_free_does_not_see_are_evaluated_as_they_are():
    labels = {"a": "free", "b": "plain"}
    params, state = stepped(
        optax.partition({"free": schedule_free(), "plain": optax.sgd(0.1)}, labels), steps=3
    )
    found = evaluated_params(state, params)
    np.testing.assert_array_equal(found["b"], params["b"])
    assert np.all(found["a"] != params["a"])


def test_sam_is_evaluated_without_its_ascent():
    sam = optax.chain(optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.5), sync_period=2))
    seen = [evaluated_params(*stepped(sam, steps)[::-1])["b"] for steps in range(5)]
    np.testing.assert_allclose(seen[0], seen[1])
    np.testing.assert_allclose(seen[2], 3.0 - 0.1 * 4.5)
    np.testing.assert_allclose(seen[2], seen[3])
    assert np.all(stepped(sam, 1)[0]["b"] == 4.5)


def test_what_has_no_place_of_its_own_to_evaluate():
    assert not evaluates_elsewhere(optax.adam(1e-3).init(PARAMS))
    opaque = optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.5), opaque_mode=True)
    assert evaluated_params(opaque.init(PARAMS), PARAMS) is PARAMS


def test_what_cannot_be_evaluated_is_refused_with_advice():
    with pytest.raises(SpecError, match=r"optimizer: got 'optax.lookahead'.*pairs"):
        evaluates_elsewhere(optax.lookahead(optax.sgd(0.1), 5, 0.5).init(PARAMS))
    for b1 in (0.0, jnp.asarray([0.9, 0.0])):
        state = optax.contrib.schedule_free_sgd(0.1, b1=b1).init(PARAMS)
        with pytest.raises(SpecError, match="b1: got 0.0, but it must be above 0"):
            evaluates_elsewhere(state)
    params, state = stepped(optax.flatten(schedule_free()), steps=1)
    with pytest.raises(SpecError, match="an OptimizerSpec with `eval_params`"):
        evaluated_params(state, params)
