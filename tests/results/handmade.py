"""Curves made by hand, and races of exponentials whose speedup is known."""

from __future__ import annotations

import numpy as np
from synthetic import RATES, exponential

from velodrome.results.store.curves import Curves, LaneInfo


def curves(values: object, *, rates: list[float] | None = None, every: int = 1) -> Curves:
    """values[lane, eval]; lanes are seeds, or with ``rates`` [rate, seed] in row-major order."""
    array = np.asarray(values, dtype=np.float64)
    if rates is None:
        lanes = [LaneInfo(seed=i, lane=i) for i in range(len(array))]
    else:
        seeds = len(array) // len(rates)
        lanes = [
            LaneInfo(seed=i % seeds, hyperparameters={"learning_rate": rates[i // seeds]}, lane=i)
            for i in range(len(array))
        ]
    return Curves(np.arange(array.shape[1]) * every, array, tuple(lanes))


def race(
    steps: int, truth: float, *, noise: float, every: int = 10, seed: int = 0
) -> tuple[Curves, Curves]:
    """Adam's sweep over 15 rates and 3 seeds to 5 N steps, and a candidate to N."""
    rng = np.random.default_rng(seed)
    long, short = (np.arange(0, end + 1, every) for end in (5 * steps, steps))
    tau = 2.0 * steps
    lanes, values = [], []
    for i, rate in enumerate(RATES):
        slower = 10 ** abs(np.log10(rate) - np.log10(3e-3))
        for s in range(3):
            lanes.append(LaneInfo(seed=s, hyperparameters={"learning_rate": rate}, lane=3 * i + s))
            values.append(exponential(long, tau * slower, noise=noise, rng=rng))
    baseline = Curves(long, np.stack(values), tuple(lanes))
    fast = [exponential(short, tau / truth, noise=noise, rng=rng) for _ in range(3)]
    candidate = Curves(short, np.stack(fast), tuple(LaneInfo(seed=s, lane=s) for s in range(3)))
    return baseline, candidate
