from __future__ import annotations

import jax
import pytest

import velodrome
from velodrome.taskgen.build import batch_shapes, trace_network_cost
from velodrome.taskgen.cost.tracing import count_program
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.sampler import MIXTURE

COUNT = 30
TOLERANCE = 0.10


def traced_step(spec):
    """Returns FLOPs of a traced training step, and the number of parameters."""
    info = datasets.get(spec.data.name).info
    task = velodrome.build(spec)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params, state = task.shapes

    def step(params, state, key, batch):
        return jax.value_and_grad(task.loss, has_aux=True)(params, state, key, batch, train=True)

    batch = batch_shapes(spec.family_object, spec, info)
    count = count_program(step, params, state, key, batch)
    return count.flops, sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("family", MIXTURE)
def test_closed_forms_are_the_traced_program(family):
    """FLOPs within 10%, parameters exactly, on 30 sampled tasks; nothing is compiled."""
    for spec in velodrome.sample(COUNT, seed=11, family=family):
        flops, params = traced_step(spec)
        assert velodrome.cost(spec).params == params, spec
        assert velodrome.cost(spec).flops == pytest.approx(flops, rel=TOLERANCE), spec


@pytest.mark.parametrize("family", MIXTURE)
def test_other_closed_forms(family):
    for spec in velodrome.sample(3, seed=13, family=family):
        closed = velodrome.cost(spec)
        traced = trace_network_cost(spec.family_object, spec, datasets.get(spec.data.name).info)
        # Dropout is in the closed form of evaluation too, where it is idle.
        assert closed.eval_flops_per_example == pytest.approx(
            traced.eval_flops_per_example, rel=TOLERANCE
        ), spec
        # Bytes depend on what the compiler fuses: only the order of magnitude is claimed.
        assert traced.bytes / 4 < closed.bytes < 4 * traced.bytes, spec


@pytest.mark.parametrize("family", MIXTURE)
def test_costs_are_whole_positive_numbers(family):
    for spec in velodrome.sample(20, seed=12, family=family):
        cost = velodrome.cost(spec)
        assert all(type(value) is int and value > 0 for value in cost.to_json().values())


def test_cost_grows_in_proportion_to_the_batch():
    def flops(batch_size):
        spec = velodrome.TaskSpec("transformer", {}, velodrome.DataSpec("kjv"), batch_size)
        return velodrome.cost(spec).flops

    assert flops(64) == pytest.approx(2 * flops(32), rel=0.01)
