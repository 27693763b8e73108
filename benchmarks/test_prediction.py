"""How well step times are predicted: ``pytest benchmarks/test_prediction.py --benchmark-only -s``.

Fits a profile as ``velodrome calibrate`` does, and predicts twelve tasks that the fit never saw:
three a family, the sampled ones nearest to 2, 60 and 2,000 MFLOP a step. All are timed in turns, so
that a machine whose speed drifts by the minute treats both sets alike.
"""

from __future__ import annotations

import math
import statistics

import velodrome
from velodrome.taskgen.budget import Budget, load_profile, predict_seconds
from velodrome.taskgen.calibrate import calibration_specs, measure_step_seconds, profile_of_times
from velodrome.taskgen.sampler import MIXTURE, sample_recorded
from velodrome.taskgen.spec import TaskSpec

TARGETS = (2e6, 6e7, 2e9)
LIMITS = (1e6, 3e9)
SEED = 1
REPEATS = 9


def chosen_specs() -> list[TaskSpec]:
    """Return the twelve tasks, by rule and not by hand."""
    chosen = []
    for family in MIXTURE:
        budget = Budget(load_profile("v100"), max_mflop=LIMITS[1] / 1e6)
        drawn = sample_recorded(400, seed=SEED, family=family, data="built-in", budget=budget)
        specs = [sampled.spec for sampled in drawn]
        specs = [spec for spec in specs if velodrome.cost(spec).flops >= LIMITS[0]]
        for target in TARGETS:
            nearest = min(
                specs, key=lambda spec: abs(math.log(velodrome.cost(spec).flops / target))
            )
            specs.remove(nearest)
            chosen.append(nearest)
    return chosen


def test_prediction(benchmark):
    seen, unseen = calibration_specs(), chosen_specs()
    times = benchmark.pedantic(
        measure_step_seconds, args=([*seen, *unseen],), kwargs={"repeats": REPEATS}, rounds=1
    )
    profile = profile_of_times(seen, times[: len(seen)], name="benchmark", repeats=REPEATS)
    print(f"\n{profile}")
    ratios = []
    for spec, measured in zip(unseen, times[len(seen) :], strict=True):
        cost = velodrome.cost(spec)
        predicted = predict_seconds(cost, profile)
        ratios.append(max(predicted / measured, measured / predicted))
        print(
            f"{spec.label:22} {cost.flops / 1e6:8.1f} MFLOP  measured {measured * 1e3:8.3f} ms  "
            f"predicted {predicted * 1e3:8.3f} ms  ratio {predicted / measured:.2f}"
        )
    benchmark.extra_info["median_ratio"] = statistics.median(ratios)
    benchmark.extra_info["worst_ratio"] = max(ratios)
    print(f"median ratio {statistics.median(ratios):.2f}, worst {max(ratios):.2f}")
