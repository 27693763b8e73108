from __future__ import annotations

import pytest

import taskgen
from taskgen.data import datasets
from taskgen.families.building import trace_network_cost
from taskgen.sampler import MIXTURE

COUNT = 30
TOLERANCE = 0.10


@pytest.mark.parametrize("family", MIXTURE)
def test_closed_forms_are_the_traced_program(family):
    """FLOPs within 10%, parameters exactly, on 30 sampled tasks; nothing is compiled."""
    for spec in taskgen.sample(COUNT, seed=11, family=family):
        closed = taskgen.cost(spec)
        info = datasets.get(spec.data.name).info
        traced = trace_network_cost(spec.family_object, spec, info)
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
    for spec in taskgen.sample(20, seed=12, family=family):
        cost = taskgen.cost(spec)
        assert all(type(value) is int and value > 0 for value in cost.to_json().values())


def test_cost_grows_in_proportion_to_the_batch():
    def flops(batch_size):
        spec = taskgen.TaskSpec("transformer", {}, taskgen.DataSpec("kjv"), batch_size)
        return taskgen.cost(spec).flops

    assert flops(64) == pytest.approx(2 * flops(32), rel=0.01)
