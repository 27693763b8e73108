"""Speed of the sampler: ``pytest benchmarks/test_sampler.py --benchmark-only``."""

from __future__ import annotations

import velodrome

LIMIT_SECONDS = 60.0


def test_ten_thousand_specs_with_costs(benchmark):
    def draw():
        return [velodrome.cost(spec) for spec in velodrome.sample(10_000, seed=0)]

    costs = benchmark.pedantic(draw, rounds=1)
    assert len(costs) == 10_000
    assert benchmark.stats.stats.max < LIMIT_SECONDS
