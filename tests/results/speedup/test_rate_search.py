"""The search for the best learning rate, on losses that are formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from velodrome.results.speedup.rate_search import ROUNDS, Search, note_of, search, sweeps_rate
from velodrome.results.store.plan import Hyperparameters

Loss = Callable[[Hyperparameters], float | None]
GRID = [{"learning_rate": rate} for rate in (1e-4, 1e-3, 1e-2, 1e-1)]


def parabola(best: float, *, curvature: float = 1.0) -> Loss:
    """A loss that is 1 at the best rate, and that plus curvature a decade beside it."""
    return lambda point: 1 + curvature * math.log10(float(str(point["learning_rate"])) / best) ** 2


def looked_up(loss: Loss, **options: bool) -> Search:
    return search(GRID, loss, gain=0.01, learns=lambda point: options.get("learns", True))


def rates(found: Search) -> list[object]:
    return [point["learning_rate"] for point in found.added]


@pytest.mark.parametrize("best", [1.3e-3, 2e-3, 4.5e-3, 9e-3])
def test_it_finds_the_bottom_of_a_parabola(best: float):
    loss = parabola(best)
    found = looked_up(loss)
    assert found.state == "found" and len(found.added) <= 6
    lowest = min(loss(point) or 0 for point in [*GRID, *found.added])
    assert lowest < 1.02
    assert all(rate == float(f"{rate:.3g}") for rate in rates(found))


def test_a_steep_parabola_takes_more_rounds_and_a_flat_one_stops_at_once():
    assert rates(looked_up(parabola(1e-3, curvature=1e-4))) == [3.16e-4, 3.16e-3]
    steep = looked_up(parabola(2.3e-3, curvature=1e4))
    assert steep.state == "found" and len(steep.added) > 6
    assert min(abs(float(str(rate)) / 2.3e-3 - 1) for rate in rates(steep)) < 0.05
    far = looked_up(parabola(2.3e-6, curvature=1e4))
    assert far.state == "limit" and len(far.added) == 3 + 2 * 3
    assert "Adam was still getting better where refining ended" in note_of("limit", "Adam")


def test_rates_that_are_close_are_close_enough():
    close = [{"learning_rate": rate} for rate in (1.0, 1.04, 1.08)]
    found = search(close, parabola(1.04), gain=0.01, learns=lambda point: True)
    assert found == Search((), "found")


@pytest.mark.parametrize(("best", "beyond"), [(1e-6, [1e-5, 1e-6, 1e-7]), (2.0, [1.0, 10.0])])
def test_at_an_edge_it_goes_on_beyond_until_the_best_lies_inside(best: float, beyond: list[float]):
    found = looked_up(parabola(best))
    assert rates(found)[: len(beyond)] == beyond
    assert found.state == "found" and len(found.added) > len(beyond)


def test_an_edge_that_never_ends_is_said_to_be_one():
    found = looked_up(lambda point: -math.log10(float(str(point["learning_rate"]))))
    assert found.state == "edge" and len(found.added) == ROUNDS
    assert rates(found)[-1] == 1e5
    assert note_of("edge", "Adam") == (
        "the best rate of Adam is still at an edge where refining ended"
    )


def test_a_plateau_stops_after_a_round_that_gains_nothing():
    flat = {1e-3: 1.0, 1e-2: 1.0}
    found = looked_up(lambda point: flat.get(float(str(point["learning_rate"])), 2.0))
    assert found == Search(({"learning_rate": 3.16e-4}, {"learning_rate": 3.16e-3}), "found")


def test_points_that_diverged_are_never_the_best():
    def loss(point: Hyperparameters) -> float:
        rate = float(str(point["learning_rate"]))
        return math.inf if rate > 1.2e-3 else (parabola(1e-2)(point) or 0)

    found = looked_up(loss)
    assert found.state == "found"
    assert all(1e-4 < float(str(rate)) < 1e-2 for rate in rates(found))
    assert looked_up(lambda point: math.inf) == Search()


def test_where_nothing_is_learned_nothing_is_looked_for():
    assert looked_up(parabola(1e-3), learns=False) == Search()


def test_it_waits_for_losses_and_goes_on_from_those_there_are():
    loss, whole = parabola(2e-3), looked_up(parabola(2e-3))
    known: dict[object, float | None] = {}

    def loss_of(point: Hyperparameters) -> float | None:
        return known.get(point["learning_rate"])

    steps = [looked_up(loss_of)]
    assert steps == [Search((), "going on")]
    while steps[-1].state == "going on":
        points = [*GRID, *steps[-1].added]
        known.update({point["learning_rate"]: loss(point) for point in points})
        steps.append(looked_up(loss_of))
    assert len(steps) > 3
    assert steps[-1] == whole
    for step in steps:
        assert step.added == whole.added[: len(step.added)]


def test_all_else_stays_as_at_the_best_point():
    grid = [{"b": b, "learning_rate": rate} for b in (1, 2) for rate in (1e-3, 1e-2, 1e-1)]
    found = search(
        grid,
        lambda point: (parabola(2e-2)(point) or 0) + (point["b"] == 1),
        gain=0.01,
        learns=lambda point: True,
    )
    assert found.state == "found" and {point["b"] for point in found.added} == {2}
    assert rates(found)[:2] == [3.16e-3, 3.16e-2]


def test_a_sweep_has_two_rates():
    assert sweeps_rate(GRID) and not sweeps_rate(GRID[:1])
    assert not sweeps_rate([{"b": 1}, {"b": 2}])
    assert not sweeps_rate([{"learning_rate": "slow"}, {"learning_rate": "fast"}])
