"""Runs of the baseline are missing, failed or damaged: no speedup without them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import RATES, Candidate, make, of_name, summarize

from velodrome.results.report.data import collect
from velodrome.results.report.plot_data import sorted_speedups
from velodrome.results.report.text import markdown
from velodrome.results.speedup.speedup import speedup
from velodrome.results.store.store import Store


def test_a_sweep_without_its_best_rate_is_no_baseline(tmp_path: Path):
    """Without the best rate the other one would make a true 0.5x look like at least 5x."""
    candidates = [Candidate("velo", [0.5, 2.0])]
    store = make(tmp_path, candidates, rates=(1e-4, 3e-3), rate_shards=True).store
    slow, fast = summarize(store).to_dict("records")
    assert (slow["status"], fast["status"]) == ("ok", "ok")
    assert slow["speedup_steps_default"] == pytest.approx(0.5, rel=0.05)
    adam, velo, *_ = store.cells()
    best = store.directory / "shards" / f"{adam.id}-1.parquet"
    best.unlink()
    store.write_failure(best.stem, {"cell": adam.id, "kind": "oom", "message": "out of memory"})
    partial = next(cell for cell in store.cells() if cell.id == adam.id)
    assert speedup(partial.curves(), velo.curves()).text == ">=5x"
    data = collect(Store.open(tmp_path))
    hole, fine = data.summary.to_dict("records")
    assert hole["status"] == "incomplete" and fine["status"] == "ok"
    assert hole["notes"].startswith("3 of 6 runs of Adam are missing (oom: out of memory)")
    assert np.isnan(hole["speedup_steps_default"]) and np.isnan(hole["speedup_seconds_default"])
    assert np.isnan(hole["best_rate"]) and np.isfinite(hole["candidate_train"])
    for headline in data.headlines:
        assert (headline.tasks, headline.planned) == (1, 2)
        assert headline.counts["incomplete"] == 1 and headline.counts["censored"] == 0
        trials = 2 if headline.unit.startswith("cost") else 1
        assert headline.median.value < 2.1 * trials
    for unit in ("steps", "seconds"):
        assert list(sorted_speedups(data.results, unit=unit)["task"]) == [fine["task"]]
    of_hole = data.curves.loc[data.curves["index"] == hole["index"]]
    assert set(of_hole["series"]) == {"rate", "seed"}
    text = markdown(data)
    assert ">=5x" not in text.replace("cannot exceed 5x", "") and "1 incomplete" in text
    assert f"{hole['task']}, velo: incomplete: 3 of 6 runs" in text


@pytest.mark.parametrize("damaged", [False, True])
def test_an_incomplete_sweep_has_no_saturation_verdict(tmp_path: Path, damaged: bool):
    """Also when the file is there but its pages turn out to be damaged."""
    rates = (1e-4, 1e-3, 3e-3)
    store = make(tmp_path, [Candidate("velo", [2.0])], rates=rates, rate_shards=True,
                 saturated=[0]).store  # fmt: skip
    assert list(summarize(store)["status"]) == ["saturated"]
    worst = of_name(store, "adam").shards[0].path
    if damaged:
        data = bytearray(worst.read_bytes())
        for at in range(8, len(data) // 2, 16):  # not the footer
            data[at] ^= 0xFF
        worst.write_bytes(bytes(data))
    else:
        worst.unlink()
    (row,) = summarize(store).to_dict("records")
    assert row["status"] == "incomplete" and not row["saturated"]
    assert "3 of 9 runs of Adam are missing (not run yet, or the file is damaged)" in row["notes"]


def test_an_interrupted_store(tmp_path: Path):
    """Shards come one by one; at no moment is there a speedup over a part of a sweep."""
    whole = make(tmp_path, [Candidate("velo", [0.5])], rates=RATES[5:9], rate_shards=True).store
    adam, velo = of_name(whole, "adam"), of_name(whole, "velo")
    aside = tmp_path / "aside"
    aside.mkdir()
    for shard in (*adam.shards, *velo.shards):
        shard.path.rename(aside / shard.path.name)
    seen = []
    for shard in (adam.shards[0], *velo.shards, *adam.shards[1:]):
        (aside / shard.path.name).rename(shard.path)
        data = collect(Store.open(tmp_path))
        seen.append(data.summary["status"][0])
        counted = [headline.tasks for headline in data.headlines]
        assert set(counted) == {int(seen[-1] == "ok")}
    assert seen == ["missing", "incomplete", "incomplete", "incomplete", "ok"]


def test_a_missing_baseline_is_said(tmp_path: Path):
    make(tmp_path, [Candidate("velo", [2.0, 2.0])], failed=[("adam", 0)])
    lost, fine = collect(Store.open(tmp_path)).summary.to_dict("records")
    assert lost["status"] == "incomplete" and "the baseline failed" in lost["notes"]
    assert fine["status"] == "ok"


def test_a_damaged_shard_is_reported_and_the_rest_stays(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0, 2.0])])
    velo = [cell for cell in made.store.cells() if cell.name == "velo"][1]
    path = velo.shards[0].path
    path.write_bytes(path.read_bytes()[:-200])
    data = collect(Store.open(tmp_path))
    assert list(data.summary["status"]) == ["ok", "missing"]
    text = markdown(data)
    assert path.name in text and "truncated" in text
