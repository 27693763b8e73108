"""Several stores in one report, and two stores compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plans import edited_plan
from synthetic import Candidate, make

from velodrome.foundation.errors import StoreError
from velodrome.results.analyses.diff import (
    TASK_COLUMNS,
    TOTAL_COLUMNS,
    compare_stores,
    log_ratios,
)
from velodrome.results.report.data import collect
from velodrome.results.store.combined import open_stores
from velodrome.results.store.store import Store

SMALL = {"steps": 100, "seeds": 3, "rates": [1e-3, 3e-3]}


def store(directory: Path, *candidates: Candidate, **options) -> Path:
    make(directory, candidates, **{**SMALL, **options})
    return directory


def only(directory: Path, *names: str) -> Store:
    """The store as if no other optimizers had been planned."""
    with edited_plan(directory) as plan:
        plan["cells"] = [cell for cell in plan["cells"] if cell["optimizer"]["name"] in names]
        there = {cell["id"] for cell in plan["cells"]}
        plan["shards"] = [shard for shard in plan["shards"] if shard["cell"] in there]
    for shard in (directory / "shards").glob("*.parquet"):
        if shard.stem not in {shard["id"] for shard in plan["shards"]}:
            shard.unlink()
    return Store.open(directory)


def test_stores_with_other_optimizers_are_one_report(tmp_path: Path):
    velo, lion = Candidate("velo", [4.0, 2.0], label="VeLO"), Candidate("lion", [1.0, 0.5])
    a, b = store(tmp_path / "a", velo), store(tmp_path / "b", lion)
    both = store(tmp_path / "both", velo, lion)
    combined = open_stores([a, b])
    found, expected = collect(combined), collect(Store.open(both))
    assert found.context.labels == ("VeLO", "lion") and found.context.tasks == 2
    columns = ["task", "label", "status", "speedup_steps_default", "step_time_ratio"]
    for frame in (found, expected):
        assert len(frame.summary) == 4
    assert found.summary[columns].equals(expected.summary[columns])
    with pytest.raises(StoreError, match="reading only"):
        combined.write_failure("x", {})


def test_stores_with_more_seeds_are_one_report(tmp_path: Path):
    a = store(tmp_path / "a", Candidate("velo", [2.0]), seeds=1, rate_shards=True)
    b = store(tmp_path / "b", Candidate("velo", [2.0]), seeds=3, rate_shards=True)
    more = collect(open_stores([a, b]))
    assert more.context.seeds == 3
    assert list(more.summary["seeds"]) == [3]


def test_what_one_store_lacks_the_other_gives(tmp_path: Path):
    velo = Candidate("velo", [2.0, 4.0])
    a = store(tmp_path / "a", velo, failed=[("velo", 0)], untimed=[("velo", 0)])
    b = store(tmp_path / "b", velo, missing=[("velo", 1)])
    assert list(collect(open_stores([a])).summary["status"]) == ["failed", "ok"]
    found = collect(open_stores([a, b]))
    assert list(found.summary["status"]) == ["ok", "ok"]
    assert np.isfinite(found.summary["step_time_ratio"].astype(float)).all()
    assert found.problems == ()


def test_runs_that_contradict_each_other_are_refused(tmp_path: Path):
    a = store(tmp_path / "a", Candidate("velo", [2.0]))
    b = store(tmp_path / "b", Candidate("velo", [3.0]))
    with pytest.raises(StoreError, match=r"both have velo on mlp-.* the losses differ .* step 10"):
        collect(open_stores([a, b]))


def test_stores_that_do_not_belong_together(tmp_path: Path):
    velo = Candidate("velo", [2.0, 3.0])
    a = store(tmp_path / "a", velo)
    with pytest.raises(StoreError, match="not of the same tasks.*only one has: cnn-"):
        open_stores([a, store(tmp_path / "b", Candidate("velo", [2.0]))])
    with pytest.raises(StoreError, match="steps is 100 and 50. Numbers compare"):
        open_stores([a, store(tmp_path / "c", velo, steps=50)])
    with pytest.raises(StoreError, match="named twice"):
        open_stores([a, tmp_path / "." / "a"])
    with pytest.raises(StoreError, match="no store is named"):
        open_stores([])
    with pytest.raises(StoreError, match="nothing to compare.*velodrome report"):
        lion = store(tmp_path / "d", Candidate("lion", [2.0, 3.0]))
        compare_stores(only(lion, "lion"), only(a, "velo", "adam"))


def test_a_store_equals_itself(tmp_path: Path):
    a = Store.open(store(tmp_path / "a", Candidate("velo", [2.0, 3.0])))
    tasks, totals = compare_stores(a, a)
    assert tuple(tasks.columns) == TASK_COLUMNS and tuple(totals.columns) == TOTAL_COLUMNS
    assert list(tasks["verdict"]) == ["equal"] * 4
    for row in totals.to_dict("records"):
        assert {row[name] for name in ("change", "low", "high", "p", "p_holm")} == {1.0}
        assert (row["same"], row["better"], row["worse"]) == (2, 0, 0)


def test_what_became_worse_is_named(tmp_path: Path):
    truth, later = [4.0, 2.0, 1.0, 3.0, 2.0, 2.0], [1.0, 4.0, 1.0, 1.0, 2.0, 2.0]
    before = store(tmp_path / "a", Candidate("velo", truth), noise=0.001)
    after = store(
        tmp_path / "b", Candidate("velo", later), noise=0.001,
        diverged=[("velo", 2, s) for s in range(3)], missing=[("velo", 5)],
    )  # fmt: skip
    tasks, totals = compare_stores(Store.open(before), Store.open(after))
    mine = tasks.loc[tasks["optimizer"] == "velo"].to_dict("records")
    verdicts = [row["verdict"] for row in mine]
    assert verdicts == ["worse", "better", "diverges", "worse", "equal", "fails"]
    # exp(-t / tau) above the floor of 0.2 of the start, as the synthetic store says.
    assert mine[0]["change"] > 1.3 and mine[1]["change"] < 0.9
    assert mine[0]["change"] == pytest.approx(mine[0]["loss_b"] / mine[0]["loss_a"], rel=0.01)
    assert np.isinf(mine[2]["change"]) and np.isnan(mine[5]["change"])
    total = totals.set_index("label").loc["velo"]
    assert (total["better"], total["worse"], total["same"], total["tasks"]) == (1, 3, 1, 5)
    assert total["low_new_tasks"] <= total["low"] <= total["change"] <= total["high"]
    adam = totals.set_index("label").loc["Adam, best rate"]
    assert adam["change"] == adam["low"] == adam["high"] == 1 and adam["same"] == 6


def test_five_seeds_have_an_interval(tmp_path: Path):
    a = store(tmp_path / "a", Candidate("velo", [2.0]), seeds=5)
    b = store(tmp_path / "b", Candidate("velo", [1.0]), seeds=5)
    tasks, _ = compare_stores(Store.open(a), Store.open(b))
    row = tasks.loc[tasks["optimizer"] == "velo"].iloc[0]
    assert 1 < row["low"] <= row["change"] <= row["high"]


def test_ratios_of_losses():
    inf = np.inf
    found = log_ratios([1.0, inf, 1.0, inf, 0.0], [np.e, inf, inf, 1.0, 0.0])
    assert found.tolist() == [1.0, 0.0, inf, -inf, 0.0]
