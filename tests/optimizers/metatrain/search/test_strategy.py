"""CMA-ES as the search uses it: it finds what it should, and can be replayed."""

from __future__ import annotations

import numpy as np
import pytest

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.metatrain.config.search import StrategyConfig
from velodrome.optimizers.metatrain.search.strategy import Strategy

CONFIG = StrategyConfig(generations=1, population=12, sigma=0.5, least=0.01, average=0.8)
TARGET = np.array([1.0, -2.0, 0.5, 0.0, 3.0])


def _run(strategy: Strategy, generations: int) -> list[dict]:
    noise = np.random.default_rng(1)
    records = []
    for generation in range(generations):
        candidates = strategy.ask()
        aims = [
            float(-np.sum((row - TARGET) ** 2 * [1, 10, 1, 1, 0.1]) + 0.05 * noise.normal())
            for row in candidates
        ]
        records.append(
            {
                "generation": generation,
                "aims": aims,
                "candidates": strategy.fingerprint(candidates),
            }
        )
        strategy.tell(candidates, aims)
    return records


def test_it_finds_the_maximum_of_a_noisy_quadratic():
    strategy = Strategy(CONFIG, 5, seed=0)
    _run(strategy, 150)
    np.testing.assert_allclose(strategy.average, TARGET, atol=0.6)
    np.testing.assert_allclose(strategy.average[:4], TARGET[:4], atol=0.2)


def test_candidates_are_mirrored_pairs_around_the_start():
    rows = np.array(Strategy(CONFIG, 5, seed=0).ask())
    assert rows.shape == (12, 5)
    for row in rows:
        assert np.min(np.linalg.norm(rows + row, axis=1)) < 1e-12
    assert len({tuple(row) for row in rows}) == 12


def test_told_again_it_is_in_the_same_state():
    first = Strategy(CONFIG, 5, seed=7)
    records = _run(first, 20)

    second = Strategy(CONFIG, 5, seed=7)
    for record in records:
        second.replay(record)
    np.testing.assert_array_equal(second.average, first.average)
    np.testing.assert_array_equal(np.array(second.ask()), np.array(first.ask()))

    with pytest.raises(StoreError, match="generation 0"):
        Strategy(CONFIG, 5, seed=8).replay(records[0])
