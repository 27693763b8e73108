"""Exported tables say what the store and the report say, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from synthetic import Candidate, make

import velodrome
from velodrome.foundation.errors import StoreError, UnknownNameError, VelodromeError
from velodrome.results.export.runs import CURVES
from velodrome.results.store.store import Store

VELO = Candidate("velo", (2.0, 8.0, 0.5), "VeLO")
RUN = ["cell", "hyperparameters", "seed"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("store") / "s"
    made = make(
        directory,
        [
            Candidate("velo", (2.0, 8.0, 0.5), "VeLO"),
            Candidate("lion", (1.0, 1.5, 3.0), "50% Lion"),
        ],
        steps=100,
        multiple=2,
        rates=(1e-3, 3e-3, 3e-1),
        failed=[("lion", 0)],
        missing=[("lion", 1)],
        provenance="stand-in",
    )
    assert made.store.directory == directory
    return directory


@pytest.fixture(scope="module")
def exported(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    velodrome.export(store, out, formats=("parquet", "csv"))
    return out


def test_curves_are_those_of_the_store(store: Path, exported: Path):
    curves = pd.read_parquet(exported / "curves.parquet")
    assert list(curves.columns) == CURVES.names
    rows = 0
    for cell in Store.open(store, read_only=True).cells():
        for split in ("train", "heldout"):
            stored = cell.curves(split=split)
            for lane, values in zip(stored.lanes, stored.values, strict=True):
                mine = curves.loc[
                    (curves["cell"] == cell.id)
                    & (curves["hyperparameters"] == lane.point)
                    & (curves["seed"] == lane.seed)
                    & (curves["split"] == split)
                ]
                np.testing.assert_array_equal(mine["step"], stored.steps)
                np.testing.assert_array_equal(mine["value"], values)
                assert mine["label"].eq(cell.label).all()
                rate = lane.hyperparameters.get("learning_rate", np.nan)
                np.testing.assert_array_equal(mine["learning_rate"], rate)
                rows += len(mine)
    assert rows == len(curves) > 0


def test_csv_and_parquet_hold_the_same(exported: Path):
    names = sorted(path.stem for path in exported.glob("*.parquet"))
    assert names == sorted(path.stem for path in exported.glob("*.csv"))
    for name in names:
        columns = pq.read_schema(exported / f"{name}.parquet").names
        table = pd.read_csv(exported / f"{name}.csv")
        assert list(table.columns) == columns
        assert len(table) == pq.read_metadata(exported / f"{name}.parquet").num_rows
    written, kept = (
        pd.read_csv(exported / "curves.csv", dtype={"value": np.float32}),
        pd.read_parquet(exported / "curves.parquet"),
    )
    np.testing.assert_array_equal(written["value"], kept["value"])


def test_every_file_says_that_the_data_are_stand_ins(exported: Path):
    for path in exported.glob("*.parquet"):
        about = json.loads((pq.read_schema(path).metadata or {})[b"velodrome"])
        assert about["data"] == "stand-in data"
        assert about["suite"]["hash"] and about["protocol"]["steps"] == 100
    for path in exported.glob("*.csv"):
        table = pd.read_csv(path)
        assert set(table["provenance"]) <= {"stand-in"}, path.name
    for path in (exported / "headline.md", exported / "headline.tex"):
        assert "stand-in data" in path.read_text()


def test_every_planned_run_has_its_status(exported: Path):
    runs = pd.read_parquet(exported / "runs.parquet")
    assert not runs.duplicated(RUN).any()
    assert len(runs) == 3 * (3 * 3 + 3 + 3)  # tasks x (rates x seeds, and two candidates' seeds)
    lion = runs.loc[runs["label"] == "50% Lion"].groupby("task", observed=True, sort=False)[
        "status"
    ]
    assert [set(status) for _, status in lion] == [{"failed"}, {"missing"}, {"ok"}]
    largest = runs.loc[runs["learning_rate"] == 0.3]
    assert largest["status"].eq("diverged").all() and largest["diverged_at"].eq(30).all()
    curves = pd.read_parquet(exported / "curves.parquet")
    there = runs.loc[runs["status"].isin(["ok", "diverged"])]
    keys = curves.loc[:, RUN].drop_duplicates().astype(str).itertuples(index=False, name=None)
    planned = there.loc[:, RUN].astype(str).itertuples(index=False, name=None)
    assert set(keys) == set(planned)


def test_speedups_are_those_of_the_summary(exported: Path):
    speedups = pd.read_parquet(exported / "speedups.parquet")
    summary = pd.read_parquet(exported / "summary.parquet").set_index(["task", "label"])
    train = speedups.loc[speedups["split"] == "train"]
    assert len(train) == len(summary) * 3 * 4  # definitions, units
    for row in train.to_dict("records"):
        mine = summary.loc[(row["task"], row["label"])]
        if row["unit"] in ("steps", "seconds"):
            expected = mine[f"speedup_{row['unit']}_{row['definition']}"]
            assert row["speedup"] == pytest.approx(expected, rel=1e-12, nan_ok=True)
        if pd.notna(mine[f"speedup_steps_{row['definition']}"]):
            assert row["censored"] == mine[f"censored_{row['definition']}"]
    at_cap = train.loc[(train["definition"] == "default") & (train["censored"] == "right")]
    # Two true speedups, 8 and 3, lie beyond the budget of 2.
    assert {(1, "VeLO"), (2, "50% Lion")} <= set(zip(at_cap["index"], at_cap["label"], strict=True))
    np.testing.assert_allclose(at_cap["speedup"], at_cap["cap"])
    default = train.loc[train["definition"] == "default"]
    cost, steps = (default.loc[default["unit"] == unit, "speedup"] for unit in ("cost", "steps"))
    np.testing.assert_allclose(np.array(cost), 3 * np.array(steps))  # three rates against one


def test_two_stores_are_one_and_each_run_is_there_once(tmp_path: Path, store: Path, exported: Path):
    again = tmp_path / "again"
    make(
        again,
        [VELO],
        steps=100,
        multiple=2,
        rates=(1e-3, 3e-3, 3e-1),
        provenance="stand-in",
    )
    files = velodrome.export([store, again], tmp_path / "out", parts=["curves"])
    both, one = (pd.read_parquet(d / "curves.parquet") for d in (tmp_path / "out", exported))
    pd.testing.assert_frame_equal(both, one)
    assert files.tables["curves"][1] == len(one)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["curves.parquet"]


def test_a_run_that_differs_in_two_stores_is_refused(tmp_path: Path, store: Path):
    other = tmp_path / "other"
    make(
        other,
        [Candidate("velo", (3.0, 8.0, 0.5), "VeLO")],
        steps=100,
        multiple=2,
        rates=(1e-3, 3e-3, 3e-1),
        provenance="stand-in",
    )
    with pytest.raises(StoreError, match="the losses differ"):
        velodrome.export([store, other], tmp_path / "out", parts=["curves"])
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_shard_is_left_out_and_reported(tmp_path: Path):
    made = make(tmp_path / "s", [Candidate("velo", (2.0,))], steps=50, multiple=2, rates=(1e-3,))
    path = sorted((tmp_path / "s" / "shards").iterdir())[0]
    content = bytearray(path.read_bytes())
    content[8:400] = bytes(392)
    path.write_bytes(content)
    files = velodrome.export(made.store.directory, parts=["curves"])
    assert files.directory == tmp_path / "s" / "export"
    assert [problem.path for problem in files.problems] == [path]
    assert len(pd.read_parquet(files.directory / "curves.parquet")["cell"].unique()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ["curvse"]}, "Did you mean 'curves'"),
        ({"formats": ["xlsx"]}, "xlsx"),
        ({"parts": []}, "at least one part"),
    ],
)
def test_what_is_refused(store: Path, tmp_path: Path, options: dict, message: str):
    with pytest.raises(VelodromeError, match=message) as caught:
        velodrome.export(store, tmp_path / "out", **options)
    assert isinstance(caught.value, UnknownNameError) or "at least" in message
    assert not (tmp_path / "out").exists()
