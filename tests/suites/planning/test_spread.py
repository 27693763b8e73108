from __future__ import annotations

import json

import pytest
import toys

from velodrome.foundation.errors import PlanError, SpecError
from velodrome.suites.planning.estimates import overview, too_large
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.planning.spread import Spread, continued, setting_of, spread_of


def eight() -> int:
    return 8


def test_what_a_user_asks_for():
    assert Spread.of(None, None, eight) is None
    assert Spread.of("all", None, eight) == Spread(8, "full")
    assert Spread.of("4", "data", eight) == Spread.of(4, "data", eight) == Spread(4, "data")
    with pytest.raises(PlanError, match="give devices"):
        Spread.of(None, "data", eight)
    with pytest.raises(SpecError, match="devices: got 'many', but it must be a number from 1 on"):
        Spread.of("many", None, eight)
    with pytest.raises(SpecError, match="devices: got 0"):
        Spread.of(0, None, eight)
    for wrong in (2.0, True):
        with pytest.raises(SpecError, match="from 1 on"):
            Spread.of(wrong, None, eight)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpecError, match="sharding: got 'half', but it must be one of full, data"):
        Spread.of(2, "half", eight)


def test_batches_and_devices_that_do_not_go_together_are_refused():
    with toys.registered():
        suite = toys.bowl_suite("sgd")
        (batch,) = {task.batch_size for task in suite.tasks}
        assert batch == 8
        Spread(8).check(suite)
        with pytest.raises(PlanError, match=r"a batch of 8, which 6 devices cannot .*: 1, 2, 4\.$"):
            Spread(6).check(suite)
    with pytest.raises(PlanError, match="9 devices are asked for, but jax finds 8 devices here"):
        Spread(9).check_devices(8)


def test_each_run_is_a_shard_by_itself():
    with toys.registered():
        loaded = LoadedSuite.of(toys.bowl_suite("sgd"))
        for backend in ("cpu", "gpu"):
            together = make_plan(loaded, backend=backend)
            alone = make_plan(loaded, backend=backend, alone=True)
            assert [cell.id for cell in alone.cells] == [cell.id for cell in together.cells]
            assert {len(shard.lanes) for shard in alone.shards} == {1}
            assert {shard.mode for shard in alone.shards} == {"sequential"}


def test_predictions_are_for_each_of_the_devices():
    with toys.registered():
        loaded = LoadedSuite.of(toys.bowl_suite("sgd"))
        plan, protocol = make_plan(loaded, alone=True), loaded.suite.protocol
        one, data, full = (
            overview(plan, protocol, spread=spread)[0]
            for spread in (None, Spread(4, "data"), Spread(4))
        )
    assert full.memory_bytes < data.memory_bytes < one.memory_bytes
    assert full.seconds == data.seconds < one.seconds
    assert one.disk_bytes == full.disk_bytes
    assert too_large([full], full.memory_bytes) and not too_large([full], 4 * full.memory_bytes)


@pytest.mark.parametrize("spread", [None, Spread(4, "data")])
def test_workers_are_told_of_a_spread(spread):
    assert spread_of(json.loads(json.dumps(setting_of(spread)))) == spread


def test_results_say_on_how_many_devices_a_run_went_on():
    first = Spread(8).record()
    assert first == {"start": 0, "devices": 8, "sharding": "full"}
    assert continued((), None, 40) == ()
    assert continued((first,), Spread(8), 40) == (first,)
    assert continued((first,), Spread(4, "data"), 40) == (
        first, {"start": 40, "devices": 4, "sharding": "data"}
    )  # fmt: skip
    assert continued((), Spread(2), 40)[0] == {"start": 0, "devices": 1}
    assert continued((first,), None, 40)[1] == {"start": 40, "devices": 1}
