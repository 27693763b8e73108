"""One mistake is said once, and costs a cell no more than two shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import toys

from velodrome.results.store.store import Store
from velodrome.suites.running.run import RunResult, run
from velodrome.suites.training.shard import ShardRunner

SEEDS = 6


@pytest.fixture
def go(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[RunResult, str]]:
    """Run a suite of some optimizers, and return what was done and what was shown."""

    def run_toys(directory: Path, *names: str) -> tuple[RunResult, str]:
        with toys.registered(counting=toys.counting(), other=toys.counting(name="other")):
            suite = toys.bowl_suite(*names, seeds=SEEDS)
            result = run(suite, directory, workers=0, timing=False, progress="plain")
        return result, capsys.readouterr().err

    return run_toys


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], str]], list[str]]:
    """Make shards fail with ``message_of(how many were tried before)``, or run if that is empty."""

    def install(message_of: Callable[[int], str]) -> list[str]:
        original, shards = ShardRunner.run_shard, []

        def sometimes(self, shard_id, control):
            shards.append(shard_id)
            if message := message_of(len(shards) - 1):
                raise ValueError(message)
            return original(self, shard_id, control)

        monkeypatch.setattr(ShardRunner, "run_shard", sometimes)
        return shards

    return install


def test_a_cell_that_fails_alike_is_given_up(tmp_path: Path, go, tried):
    shards = tried(lambda _: "rates are upside down")
    result, shown = go(tmp_path, "counting", "other")
    assert len(shards) == 4  # two of each of the two cells
    assert result.failed is not None and len(result.failed) == 2 * SEEDS
    messages = [record["message"] for record in Store.open(tmp_path).failures.values()]
    assert messages.count("ValueError: rates are upside down") == 4
    assert sum(message.startswith("not tried, because 2 shards") for message in messages) == 8
    assert shown.count("rates are upside down") == 2  # why, and that others were not tried


@pytest.mark.parametrize("varying", ["at 0x7f{:04x}", "NaN at step {}", "after {} and step {}"])
def test_addresses_and_numbers_of_steps_make_no_difference(tmp_path: Path, go, tried, varying):
    shards = tried(lambda number: varying.format(number, number))
    go(tmp_path, "counting")
    assert len(shards) == (SEEDS if "after" in varying else 2)


def test_failures_that_differ_are_all_tried_and_said(tmp_path: Path, go, tried):
    shards = tried(lambda number: f"shard {number} is bad")
    _, shown = go(tmp_path, "counting")
    assert len(shards) == SEEDS
    assert all(f"shard {number} is bad" in shown for number in range(SEEDS))


def test_a_cell_with_a_trained_shard_is_not_given_up(tmp_path: Path, go, tried):
    shards = tried(lambda number: "unlucky" if number else "")
    result, shown = go(tmp_path, "counting")
    assert len(shards) == SEEDS and result.done == 1
    assert shown.count("unlucky") == 1
    again = tried(lambda _: "unlucky")  # nor in a later call, which finds the shard in the store
    go(tmp_path, "counting")
    assert len(again) == SEEDS - 1
