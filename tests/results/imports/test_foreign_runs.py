"""Foreign tables are refused with the line and the reason, or read as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from velodrome.foundation.errors import SpecError, StoreError
from velodrome.results.imports.columns import roles_of
from velodrome.results.imports.fitting import FittedRun, fitted
from velodrome.results.imports.runs import read_runs
from velodrome.results.imports.table import read_table

EVALUATIONS = {"train": [0, 5, 10], "heldout": [0, 10]}
GOOD = "step,loss\n0,2\n5,1.5\n10,1\n"


def read(path: Path, text: str, **given: str) -> list[FittedRun]:
    file = path / "curves.csv"
    file.write_text(text)
    table = read_table(file)
    roles = roles_of(list(table.columns), given, file=table.name)
    return [
        fitted(run, table, evaluations=EVALUATIONS, suite="smoke")
        for run in read_runs(table, roles)
    ]


def test_runs_are_told_apart_and_other_steps_left_out(tmp_path: Path):
    rows = [
        f"{step},{3 - 0.1 * step + seed},{'' if step % 10 else 4},{seed},1e-2"
        for step in range(11) for seed in (1, 0)
    ]  # fmt: skip
    first, second = read(tmp_path, "\n".join(["step,loss,heldout_loss,seed,learning_rate", *rows]))
    assert (first.seed, second.seed) == (1, 0)
    assert first.point == {"learning_rate": 1e-2}
    assert first.losses["train"] == {s: float(np.float32(4 - 0.1 * s)) for s in (0, 5, 10)}
    assert first.losses["heldout"] == {0: 4.0, 10: 4.0}
    assert first.left_out == 8


def test_a_parquet_file_of_a_logger(tmp_path: Path):
    table = {
        "_step": [0, 5, 10], "train/loss": [2.0, 1.5, 1.0], "val/loss": [2.0, None, 1.0],
        "point": ['{"lr": 0.1}'] * 3, "_runtime": [1, 2, 3],
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "history.parquet")
    found = read_table(tmp_path / "history.parquet")
    (run,) = read_runs(found, roles_of(list(found.columns)))
    assert run.point == {"lr": 0.1}
    assert run.losses == {"train": {0: 2.0, 5: 1.5, 10: 1.0}, "heldout": {0: 2.0, 10: 1.0}}


def test_an_exported_chart(tmp_path: Path):
    text = GOOD.replace("step,loss", "Step,a - train/loss,a - train/loss__MIN")
    lines = [line if at == 0 else f"{line},9" for at, line in enumerate(text.splitlines())]
    (run,) = read(tmp_path, "\n".join(lines))
    assert run.losses["train"] == {0: 2.0, 5: 1.5, 10: 1.0}
    with pytest.raises(SpecError, match=r"columns: got \['a - loss', 'b - loss'\].* say which"):
        read(tmp_path, "Step,a - loss,b - loss\n0,1,2\n")
    (run,) = read(tmp_path, "Step,a - loss,b - loss\n0,1,2\n5,1,2\n10,1,2", loss="b - loss")
    assert set(run.losses["train"].values()) == {2.0}


def test_a_run_that_diverged(tmp_path: Path):
    (run,) = read(tmp_path, "step,loss\n0,2\n5,3\n7,nan\n10,inf\n")
    assert run.diverged_at == 7
    assert run.losses["train"] == {0: 2.0, 5: 3.0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("step,loss\n0,2\nfive,1\n", "line 3, step: got 'five', but it must be a number"),
        ("step,loss\n0,2\n2.5,1\n", "line 3, step: got '2.5', but it must be the number of upd"),
        ("step,loss\n0,2\n5,1\n5,1\n", "line 4, step: got 5, .* curves.csv, line 3 has a loss"),
        ("step,loss\n0,2\n10,1\n5,1\n", "line 4, step: got 5, .* after 10, the step of .* line 3"),
        ("step,loss\n0,2\n5,nan\n10,1\n", "line 4, loss: .* line 3 has a loss that is not finite"),
        ("step,loss\n0,2\n5,1,7\n", "line 3, number of values: got 3, but it must be 2"),
        ("step,loss,loss\n0,2,1\n", "header: got 'loss', but it must be the name of one column"),
        ("step;loss\n0;2\n", "names with commas between"),
        (
            "step,nll\n0,2\n",
            "a column 'loss': say which it is, as in --columns loss=NAME",
        ),
        ("step,loss,seed\n0,2,-1\n", "line 2, seed: got '-1'"),
        ("step,loss,learning_rate\n0,2,\n", "line 2, learning_rate: got '', .* above 0"),
        ("step,loss,point\n0,2,fast\n", "line 2, point: got 'fast', .* a JSON object"),
        ("step,loss,point,learning_rate\n0,2,{},1\n", "a point or a learning_rate, not both"),
        ("step,loss\n", "no rows"),
    ],
)
def test_a_wrong_value_is_refused_where_it_stands(tmp_path: Path, text: str, reason: str):
    with pytest.raises(SpecError, match=reason):
        read(tmp_path, text)


def test_steps_that_are_not_the_protocols_are_refused(tmp_path: Path):
    with pytest.raises(StoreError, match=r"no loss at step 5 \(1 of 3 are missing\).* every 5"):
        read(tmp_path, "step,loss\n0,2\n4,1.5\n10,1\n")
    with pytest.raises(StoreError, match=r"no heldout_loss at step 0 \(1 of 2"):
        read(tmp_path, "step,loss,heldout_loss\n0,2,\n5,1.5,\n10,1,1\n")
    with pytest.raises(StoreError, match="line 5, is at step 15, but a run of smoke has 10"):
        read(tmp_path, GOOD + "15,1\n")
