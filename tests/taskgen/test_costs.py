"""The closed forms of the mixture's families against traced programs."""

from __future__ import annotations

import pytest

import velodrome
from velodrome.taskgen.cost.tracing import traced_cost
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.sampler import MIXTURE

COUNT = 8
TOLERANCE = 0.10


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=pytest.mark.long if name == "transformer" else ())
        for name in MIXTURE
    ],
)
def test_closed_forms_are_the_traced_program(family):
    """FLOPs within 10%, parameters exactly, on sampled tasks; nothing is compiled."""
    for spec in velodrome.sample(COUNT, seed=11, family=family):
        task, closed = velodrome.build(spec), velodrome.cost(spec)
        traced = traced_cost(task.shapes, task.loss, batch_shapes(spec.view, spec.batch_size))
        assert closed.params == traced.params, spec
        assert closed.flops == pytest.approx(traced.flops, rel=TOLERANCE), spec
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
