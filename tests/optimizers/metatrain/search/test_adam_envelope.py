"""Speedups over an envelope of Adam, against answers computed by hand."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.metatrain.config.search import EnvelopeConfig
from velodrome.optimizers.metatrain.es.program import make_particles
from velodrome.optimizers.metatrain.es.tasks import open_task
from velodrome.optimizers.metatrain.search import envelope
from velodrome.optimizers.metatrain.search.envelope import MOST, Envelope
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.space.draws import NamedRng

ENVELOPE = Envelope((100, 200, 400), (2.0, 1.0, 0.5))


@pytest.mark.parametrize(
    ("loss", "steps", "expected"),
    [
        (1.0, 200, 0.0),
        (1.0, 100, 1.0),
        (1.0, 400, -1.0),
        (math.sqrt(0.5), 200, 0.5),  # halfway between 1 and 0.5, by the logarithm
        (0.5, 100, 2.0),
        (0.01, 100, 2.0),  # Adam never gets there: as if it did at the end of its longest run
        (2.0 * math.e**0.25, 100, -0.5),  # worse than Adam's shortest run
        (1e9, 100, -MOST),
        (0.01, 10, MOST),
        (math.nan, 100, -MOST),
        (math.inf, 100, -MOST),
    ],
)
def test_log2_speedup(loss, steps, expected):
    assert ENVELOPE.log2_speedup(loss, steps) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (1.0, 0.0),  # above the cut nothing changes
        (2.0 * math.e**2, -3.0 - math.log(3)),  # 2 below the cut
        (2.0 * math.e**20, -3.0 - math.log(39)),
        (math.nan, -3.0 - math.log1p(2 * math.log(float(np.finfo(np.float32).max) / 2) - 2)),
    ],
)
def test_log2_speedup_below_the_cut(loss, expected):
    found = ENVELOPE.log2_speedup(loss, 200, below="logarithm")
    assert found == pytest.approx(expected, abs=1e-4)


def test_an_envelope_that_stays_the_same_for_a_while():
    flat = Envelope((100, 200, 400), (1.0, 1.0, 0.5))
    assert 0 <= flat.log2_speedup(1.0 - 1e-9, 100) <= 1.0
    assert flat.log2_speedup(0.5, 400) == pytest.approx(0.0, abs=1e-4)


def test_measured_envelopes_fall_and_have_the_best_rate(monkeypatch):
    # One program for all measurements, because each has two rates.
    monkeypatch.setattr(envelope, "make_particles", functools.cache(make_particles))
    spec = sample(1, seed=3, family="mlp", data="built-in", max_mflop=0.05)[0]
    inner, draws = open_task(spec, vary=()), NamedRng(0, "test")

    def measured(*rates: float) -> Envelope:
        config = EnvelopeConfig(rates=rates, lengths=(20, 40, 80))
        return envelope.measure_envelope(inner, config, draws)

    slow, both = measured(1e-6, 1e-6), measured(1e-6, 0.01)
    assert both.lengths == (20, 40, 80)
    assert list(both.losses) == sorted(both.losses, reverse=True)
    assert both.losses[-1] < slow.losses[-1] - 0.1
    # A rate that diverges takes nothing from the others.
    np.testing.assert_allclose(measured(0.01, 1e30).losses, measured(0.01, 0.01).losses, rtol=1e-6)
    with pytest.raises(VelodromeError, match=r"diverges on .* envelope.rates.*Add lower rates"):
        measured(1e30, 1e30)
