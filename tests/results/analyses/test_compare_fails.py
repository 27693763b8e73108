"""Two stores compared: runs that one lacks, stores without a baseline, intervals over tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import Candidate, make

from velodrome import cli
from velodrome.results.analyses.diff import (
    Change,
    compare_stores,
    median_interval,
    only_in,
    with_holm,
)
from velodrome.results.analyses.diff import total as over_tasks
from velodrome.results.store.store import Store

BEFORE, AFTER = (4.0, 4.0, 4.0), (1.0, 1.0, 1.0)


def store(directory: Path, *candidates: Candidate, **options) -> Store:
    small = {"steps": 100, "seeds": 3, "rates": [1e-3, 3e-3], "noise": 0.001}
    return make(directory, candidates, **{**small, **options}).store


def verdicts(a: Store, b: Store, name: str) -> list[str]:
    tasks, _ = compare_stores(a, b)
    return list(tasks.loc[tasks["optimizer"] == name, "verdict"])


def test_a_task_that_fails_in_b_alone_is_a_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    a = store(tmp_path / "a", Candidate("velo", BEFORE, label="VeLO (w)"))
    b = store(tmp_path / "b", Candidate("velo", BEFORE, label="VeLO (w)"), failed=[("velo", 1)])
    assert verdicts(a, b, "velo") == ["equal", "fails", "equal"]
    _, totals = compare_stores(a, b)
    total = totals.set_index("label").loc["VeLO (w)"]
    assert (total["tasks"], total["fails"], total["worse"], total["same"]) == (2, 1, 0, 2)
    assert cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "fails" in capsys.readouterr().out
    # The other way round nothing became worse.
    assert verdicts(b, a, "velo") == ["equal", "only B", "equal"]
    assert cli.main(["compare", str(tmp_path / "b"), str(tmp_path / "a")]) == 0


def test_everything_fails_in_b(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    a = store(tmp_path / "a", Candidate("velo", BEFORE))
    store(tmp_path / "b", Candidate("velo", BEFORE), failed=[("velo", i) for i in range(3)])
    assert cli.main(["compare", str(a.directory), str(tmp_path / "b")]) == 1
    line = next(x for x in capsys.readouterr().out.splitlines()[::-1] if x.startswith("velo"))
    assert line.split() == ["velo", "0", *"-----", "0", "0", "0", "3"]


def test_without_a_baseline_in_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lost = [("adam", i) for i in range(3)]
    a = store(tmp_path / "a", Candidate("velo", BEFORE), missing=lost)
    b = store(tmp_path / "b", Candidate("velo", AFTER), missing=lost)
    assert verdicts(a, b, "velo") == ["worse"] * 3
    assert verdicts(b, a, "velo") == ["better"] * 3
    assert verdicts(a, b, "adam") == ["not run"] * 3
    assert cli.main(["compare", str(a.directory), str(b.directory)]) == 1
    assert "3 without runs in either" in capsys.readouterr().out


def test_only_b_lacks_the_baseline_on_a_task(tmp_path: Path):
    a = store(tmp_path / "a", Candidate("velo", BEFORE))
    b = store(tmp_path / "b", Candidate("velo", BEFORE), missing=[("adam", 1)])
    assert verdicts(a, b, "velo") == ["equal"] * 3
    assert verdicts(a, b, "adam") == ["equal", "fails", "equal"]


def test_optimizers_of_one_store_alone_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    velo = Candidate("velo", BEFORE)
    a = store(tmp_path / "a", velo, Candidate("lion", BEFORE), Candidate("sgd", BEFORE))
    b = store(tmp_path / "b", velo, Candidate("muon", BEFORE))
    assert only_in(a, b) == ("lion", "sgd") and only_in(b, a) == ("muon",)
    assert cli.main(["compare", str(a.directory), str(b.directory)]) == 0
    out = capsys.readouterr().out
    assert "only in A: lion, sgd\n" in out and "only in B: muon\n" in out
    cli.main(["compare", str(a.directory), str(a.directory)])
    assert "only in" not in capsys.readouterr().out


def changes(*logs: list[float]) -> list[Change]:
    return [Change("velo", "same", np.array(x)) for x in logs]


def test_a_task_drawn_twice_has_its_seeds_drawn_twice():
    """A draw of two equal tasks is 1 once in ten times: both are once in 100, under 2.5%.

    With the same draw in both slots of a task that is drawn twice it would be 5.5%.
    """
    tables = [(np.array([0.0, 1.0]), np.array([0.9, 0.1]))] * 2
    for new_tasks in (False, True):
        low, high = median_interval(tables, new_tasks=new_tasks)
        assert (low, high) == pytest.approx((1.0, np.exp(0.5)))


def test_no_interval_of_one_seed_or_few_tasks():
    one_seed = over_tasks(changes([0.1], [0.2], [0.4], [0.3], [0.2]))
    assert np.isnan(one_seed["low"]) and np.isnan(one_seed["high"])
    assert one_seed["low_new_tasks"] < one_seed["high_new_tasks"]
    for few in ([0.1, 0.3],), ([0.1, 0.3],) * 4:
        found = over_tasks(changes(*few))
        assert np.isnan(found["low_new_tasks"]) and found["low"] < found["high"]


def test_holm_counts_those_that_were_tested():
    found = with_holm([{"label": x, "p": p} for x, p in (("a", 0.04), ("b", np.nan), ("c", 0.01))])
    assert found["p_holm"].tolist() == pytest.approx([0.04, np.nan, 0.02], nan_ok=True)
