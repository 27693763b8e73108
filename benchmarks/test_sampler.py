"""Speed of the sampler: ``pytest benchmarks/test_sampler.py --benchmark-only``."""

from __future__ import annotations

import taskgen

LIMIT_SECONDS = 60.0


def test_ten_thousand_specs_with_costs(benchmark):
    def draw():
        return [taskgen.cost(spec) for spec in taskgen.sample(10_000, seed=0)]

    costs = benchmark.pedantic(draw, rounds=1)
    assert len(costs) == 10_000
    assert benchmark.stats.stats.max < LIMIT_SECONDS
