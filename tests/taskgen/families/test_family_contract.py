"""Traced dynamic values, tasks found again, and learning, for the families of the mixture.

`tests/velodrome/test_check_family.py` puts every family through the contract.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import SMALL, quick, random_batch, small_spec

import velodrome
from velodrome.suites.catalog import frozen
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.sampler import MIXTURE
from velodrome.taskgen.spec import TaskSpec

DYNAMIC = {
    "cnn": {"activation": 3, "initializer": 1, "init_scale": 0.7},
    "transformer": {"dropout": 0.2, "init_scale": 3.0},
}


@pytest.mark.parametrize("family", DYNAMIC)
def test_gradients_of_traced_dynamic_values_are_those_of_constants(family, key):
    task = velodrome.build(small_spec(family))
    batch, values = random_batch(task.spec, key), DYNAMIC[family]

    def gradient(dynamic):
        params, state = task.init(key, dynamic)
        return jax.grad(task.loss, has_aux=True)(
            params, state, key, batch, train=True, dynamic=dynamic
        )[0]

    traced = quick(gradient)({name: jnp.asarray(value) for name, value in values.items()})
    constant = quick(lambda: gradient(values))()
    for one, other in zip(jax.tree.leaves(traced), jax.tree.leaves(constant), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", [*MIXTURE, "tabular_mlp"])
def test_gradient_descent_lowers_the_loss(family, key, strict_dtypes):
    task = velodrome.build(small_spec(family))
    assert velodrome.build(small_spec(family)) is task  # so that compiled programs are found again
    batch = random_batch(task.spec, key)

    @quick
    def train(key):
        params, state = task.init(key)

        def step(params, _):
            def loss(params):
                return task.loss(params, state, key, batch, train=False)[0]

            value, gradient = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient), value

        return params, jax.lax.scan(step, params, None, length=60)[1]

    params, losses = train(key)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), task.shapes[0])
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == shapes
    assert losses[-1] < 0.9 * losses[0]


PUBLISHED = (
    "ImageMLP_Cifar10_128x128x128_BatchNorm_Relu",
    "MLPMixer_Cifar100_tiny16",
    "VIT_Cifar100_skinnydeep",
    "LOpt_LearnableAdam_Cifar10_8_50",
    "LOpt_AdafacMLPLOpt_FashionMnist_50",
)


def _wide_kinds() -> list[TaskSpec]:
    published = {task.label: task for task in frozen("velodrome-extended").tasks}
    published |= {task.label: task for task in frozen("velodrome-83").tasks}
    return [
        *map(small_spec, SMALL),
        *(small_spec("rnn", cell=cell) for cell in ("vanilla", "lstm", "irnn")),
        *(published[label] for label in PUBLISHED),
    ]


@pytest.mark.parametrize("spec", _wide_kinds(), ids=lambda spec: spec.label)
def test_no_number_is_wider_than_32_bits_where_jax_has_64(spec):
    """Traced where jax has 64 bits: parameters, state and loss, whose types are written down."""
    task = velodrome.build(spec)
    batch = batch_shapes(spec.view, spec.batch_size)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):

        def start_and_loss(key, batch):
            params, state = task.init(key)
            return params, state, task.loss(params, state, key, batch, train=True)

        found = jax.eval_shape(start_and_loss, jax.random.key(0), batch)
    types = jax.tree.map(lambda leaf: leaf.dtype.name, found)
    wide = {name for name in jax.tree.leaves(types) if name.endswith("64")}
    assert not wide, types
