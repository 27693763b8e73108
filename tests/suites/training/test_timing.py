from __future__ import annotations

import pytest
import toys

from velodrome.results.store.store import Store
from velodrome.suites.running.retime import retime
from velodrome.suites.running.run import run


def test_a_baseline_that_the_store_lacks_is_timed_in_turns(tmp_path):
    with toys.registered():
        suite = toys.bowl_suite("sgd", baseline="adam")
        assert run(suite, tmp_path, workers=0, progress="silent").failed == {}
        (first,) = Store.open(tmp_path).timings.values()
        seen: list[tuple[int, int]] = []
        again = retime(tmp_path, on_task=lambda *at: seen.append(at))
    assert (again.tasks, again.failed, seen) == (1, {}, [(0, 1), (1, 1)])
    (record,) = Store.open(tmp_path).timings.values()  # none of the baseline itself
    ours, theirs = record["seconds_per_step"], record["baseline_seconds_per_step"]
    assert len(ours["samples"]) == len(theirs["samples"]) == 7
    assert ours["samples"] != theirs["samples"] and theirs["median"] > 0
    assert ours["samples"] != first["seconds_per_step"]["samples"]  # those of `retime`
    assert record["ratio"] == pytest.approx(ours["median"] / theirs["median"])
