from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from synthetic import RATES, Candidate, Made, make, summarize

from foundation.errors import StoreError
from results.cell import Cell
from results.comparison import compare
from results.outcome import step_time_ratio
from results.report import ReportFiles, print_report, write_report
from results.report.context import data_text, times
from results.report.data import collect
from results.report.plotdata import sorted_speedups
from results.report.plots import SECTIONS, plots
from results.report.style import PALETTE, add_caption, arrange, looks, velodrome_style
from results.report.text import markdown
from results.resample import SeedResamples
from results.speedup import speedup
from results.store import Store
from results.summary import COLUMNS
from results.taskresult import SplitResult, TaskResult
from results.tuning import rate_text

TRUTH = [4.0, 2.0, 1.0, 8.0, 3.0, 0.5, 2.5, 1.5]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Eight tasks on which everything happens that can happen."""
    return make(
        tmp_path_factory.mktemp("store") / "s",
        [Candidate("velo", TRUTH, label="VeLO (velo-tiny)", seconds_ratio=2.0)],
        saturated=[4],
        diverged=[("velo", 5, 0), ("velo", 5, 1), ("velo", 1, 2), ("adam", 2, 0)],
        failed=[("velo", 6)],
        missing=[("velo", 7)],
        untimed=[("velo", 2)],
    )


@pytest.fixture(scope="module")
def files(made: Made, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return write_report(made.store.directory, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def summary(files: ReportFiles) -> pd.DataFrame:
    return files.data.summary


def test_every_planned_task_has_a_row_with_its_status(summary: pd.DataFrame):
    assert tuple(summary.columns) == COLUMNS
    assert list(summary["status"]) == [
        "ok", "ok", "ok", "censored", "saturated", "diverged", "failed", "missing",
    ]  # fmt: skip
    notes = list(summary["notes"])
    assert "1 of 3 seeds diverged" in notes[1]
    assert "no seconds: the step time was not measured" in notes[2]
    assert "every rate of the baseline diverged" in notes[2]
    assert "out of memory" in notes[6]
    assert "has not been run" in notes[7]


def test_speedups_are_the_true_ones(summary: pd.DataFrame):
    rows = summary.to_dict("records")
    steps = [row["speedup_steps_default"] for row in rows]
    assert steps[0] == pytest.approx(4.0, rel=0.05)
    assert steps[1] == pytest.approx(2.0, rel=0.05)
    assert steps[3] == 5.0 and rows[3]["censored_default"] == "right"
    assert steps[5] == 0.0 and rows[5]["diverged_default"]
    assert rows[0]["speedup_seconds_default"] == pytest.approx(steps[0] / 2)
    assert np.isnan(rows[2]["speedup_seconds_default"])
    assert np.isnan(steps[6]) and np.isnan(steps[7])
    assert {row["cap"] for row in rows[:6]} == {5.0}


def test_losses_and_rates(summary: pd.DataFrame):
    first = summary.to_dict("records")[0]
    assert first["best_rate"] == pytest.approx(3e-3) and not first["best_rate_at_edge"]
    assert first["initial_train"] == pytest.approx(2.0, rel=0.02)
    assert first["baseline_train"] > first["candidate_train"]
    assert first["baseline_train_at_budget"] < first["baseline_train"]
    assert first["candidate_heldout"] == pytest.approx(first["candidate_train"] + 0.1, abs=0.02)
    # The baseline's losses are there even where the candidate failed.
    assert summary.to_dict("records")[6]["baseline_train"] > 0


def test_the_edge_of_the_grid_is_flagged(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], rates=(1e-4, 3e-4, 1e-3, 3e-3))
    (row,) = summarize(made.store).to_dict("records")
    assert row["best_rate_at_edge"]


def of_name(store: Store, name: str) -> Cell:
    """The only cell of an optimizer."""
    (cell,) = (cell for cell in store.cells() if cell.name == name)
    return cell


def test_missing_runs_of_a_candidate_are_noted(tmp_path: Path):
    fresh = make(tmp_path / "s", [Candidate("velo", [2.0])])
    plan = dict(fresh.store.plan)
    cell = of_name(fresh.store, "velo")
    extra = {"id": "extra", "cell": cell.id, "lanes": [{"lane": 99, "seed": 9}]}
    plan["shards"] = [*plan["shards"], extra]
    store = Store(tmp_path / "s", manifest=fresh.store.manifest, plan=plan, suite=fresh.store.suite)
    (task,) = compare(store)
    assert task.outcomes[0].status == "ok"
    assert "1 of 4 runs of velo are missing" in task.outcomes[0].notes[0]


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


@pytest.mark.parametrize("name", ["velo", "adam"])
def test_why_there_are_no_seconds(tmp_path: Path, name: str):
    """A task is timed as a whole, so the failure may be recorded under any of its cells."""
    store = make(tmp_path, [Candidate("velo", [2.0])], untimed=[("velo", 0)]).store
    store.write_timing_failure(of_name(store, name).id, "oom", "12 GB needed")
    data = collect(store)
    reason = "no seconds: the timing failed (oom: 12 GB needed)"
    assert list(data.summary["notes"]) == [reason]
    assert np.isnan(data.summary["speedup_seconds_default"].to_numpy(float)).all()
    assert reason in markdown(data)
    store.write_timing(of_name(store, "velo").id, {
        "seconds_per_step": {"median": 2.0}, "baseline_seconds_per_step": {"median": 1.0},
    })  # fmt: skip
    assert list(collect(store).summary["notes"]) == [""]


def test_a_missing_baseline_is_said(tmp_path: Path):
    make(tmp_path, [Candidate("velo", [2.0, 2.0])], failed=[("adam", 0)])
    lost, fine = collect(Store.open(tmp_path)).summary.to_dict("records")
    assert lost["status"] == "failed" and "the baseline failed" in lost["notes"]
    assert fine["status"] == "ok"


def test_runs_without_any_loss_have_diverged(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], missing=[("velo", 0)])
    cell = next(cell for cell in made.store.cells() if cell.name == "velo")
    lanes = [
        {"lane": x.lane, "seed": x.seed, "hyperparameters": {}, "status": "diverged",
         "diverged_at": 0}
        for x in cell.planned
    ]  # fmt: skip
    nothing = {name: np.empty(0, int) for name in ("lane", "step", "split", "metric", "value")}
    about = {"id": cell.id, "task": cell.task, "optimizer": cell.optimizer, "horizon": 200}
    made.store.write_shard(f"{cell.id}-0", nothing, {"cell": about, "lanes": lanes})
    (row,) = summarize(made.store).to_dict("records")
    assert row["status"] == "diverged" and row["speedup_steps_default"] == 0.0


def test_optimizers_of_one_label_stay_apart(tmp_path: Path):
    both = [Candidate("velo", [2.0], label="V"), Candidate("velo:b", [4.0], label="V")]
    rows = summarize(make(tmp_path, both).store)
    assert list(rows["label"]) == ["V [velo]", "V [velo:b]"]


def test_a_damaged_shard_is_reported_and_the_rest_stays(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0, 2.0])])
    velo = [cell for cell in made.store.cells() if cell.name == "velo"][1]
    path = velo.shards[0].path
    path.write_bytes(path.read_bytes()[:-200])
    data = collect(Store.open(tmp_path))
    assert list(data.summary["status"]) == ["ok", "missing"]
    text = markdown(data)
    assert path.name in text and "truncated" in text


def test_the_headline(files: ReportFiles):
    data = files.data
    found = {(h.scope, h.unit): h for h in data.headlines if h.split == "train"}
    headline = found["headline", "steps"]
    assert (headline.tasks, headline.planned, headline.seeds) == (5, 7, 3)
    assert headline.counts == {
        "censored": 1, "diverged": 1, "saturated": 0, "incomplete": 0, "failed": 1, "missing": 1,
    }  # fmt: skip
    # Diverged, 1, 2, 4 and at least 5.
    assert headline.median.value == pytest.approx(2.0, rel=0.05)
    assert headline.median.low <= headline.median.value <= headline.median.high
    assert not headline.median.lower_bound  # 1 of 5 is censored, and it is not the median
    assert headline.faster[4.0].value in (0.2, 0.4)  # the one of 4x may be seen at 3.98x
    assert headline.faster[16.0].lower_bound
    everything = found["all", "steps"]
    assert (everything.tasks, everything.planned) == (6, 8)
    assert found["headline", "seconds"].tasks == 4


def test_files(files: ReportFiles):
    names = {path.name for path in files.directory.iterdir()}
    stems = (
        "headline", "speedup_steps", "speedup_seconds", "speedup_cost", "speedup_heldout",
        "families_steps", "families_seconds", "learning_curves", "sensitivity", "tuning",
        "profile", "pairs", "overhead", "time_to_loss", "anytime",
    )  # fmt: skip
    assert names == {
        *(f"{stem}{suffix}" for stem in stems for suffix in (".png", ".pdf", ".svg", ".csv")),
        *(f"{name}.csv" for name in (
            "summary", "definitions", "families", "profile_scores", "failures", "provenance",
            "specs",
        )),
        "report.md", "index.html",
    }  # fmt: skip
    for path in files.figures:
        start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[path.suffix]
        assert path.read_bytes().startswith(start)
    table = pd.read_csv(files.directory / "speedup_steps.csv")
    assert list(table["percentile"]) == [10, 30, 50, 70, 90]
    assert (np.diff(table["speedup"]) >= 0).all() and set(table["censored"]) == {"no", "right"}
    curves = pd.read_csv(files.directory / "learning_curves.csv")
    assert set(curves["series"]) == {"rate", "best", "envelope", "seed"}
    envelope = curves[(curves["series"] == "envelope") & (curves["index"] == 0)]
    assert (np.diff(envelope["loss"]) <= 0).all()


def test_markdown_lists_everything(files: ReportFiles):
    data = files.data
    text = markdown(data)
    for task in data.summary["task"]:
        assert task in text
    for word in (
        "VeLO (velo-tiny)", "built-in real data", ">=5x", "diverged", "saturated", "out of memory",
        "has not been run", "cannot exceed 5x", "Beware: `paper`", "strict:", "all tasks",
    ):  # fmt: skip
        assert word in text, word
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(data, console=console)
    printed = " ".join(console.export_text().split())
    for word in (">=5x", "out of memory", "saturated", "strict:"):
        assert word in printed, word


@pytest.mark.parametrize(("tasks", "optimizers"), [(1, 1), (3, 8), (5, 1)])
def test_no_figure_collapses(tmp_path: Path, tasks: int, optimizers: int):
    """matplotlib warns, which is an error here, when the labels leave no room for the axes."""
    rng = np.random.default_rng(0)
    candidates = [
        Candidate(f"o{i}", list(np.exp2(rng.normal(1, 1.5, tasks))), label=f"Optimizer {i}")
        for i in range(optimizers)
    ]
    make(tmp_path, candidates)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = []
        with velodrome_style():
            for plot in plots(collect(Store.open(tmp_path))):
                figure = plot.draw()
                add_caption(figure, plot.caption)
                arrange(figure)
                assert plot.section in SECTIONS and plot.alt and plot.title
                names.append(plot.name)
    assert len(names) == len(set(names)) == 15


def test_nothing_run_yet(tmp_path: Path):
    everything = [(name, 0) for name in ("adam", "velo")]
    make(tmp_path, [Candidate("velo", [2.0])], missing=everything)
    files = write_report(tmp_path)
    assert list(files.data.summary["status"]) == ["missing"]


def test_no_store(tmp_path: Path):
    with pytest.raises(StoreError, match="not a result store"):
        write_report(tmp_path)


@pytest.mark.slow
def test_a_report_needs_no_jax_and_is_the_same_again(
    made: Made, files: ReportFiles, tmp_path: Path
):
    program = (
        "import sys, results.report as r\n"
        f"r.print_report(r.write_report({str(made.store.directory)!r}, {str(tmp_path)!r}).data)\n"
        "bad = {'jax', 'flax', 'optax', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in files.figures + files.tables:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_sorted_speedups_put_censored_ones_last():
    row = {"label": "a", "saturated": False, "task": "t", "family": "f"}
    found = [(5.0, True), (5.0, False), (0.0, False), (1.0, False)]
    results = [TaskResult({**row, "task": "none"})]
    with np.errstate(divide="ignore"):
        for ratio, censored in found:
            seeds = np.log2([ratio] * 2)
            table = SeedResamples(seeds[None], np.ones(1), np.log2(5))
            results.append(TaskResult(row, {"train": SplitResult(ratio, censored, seeds, table)}))
    table = sorted_speedups(results)
    assert list(table["speedup"]) == [0.0, 1.0, 5.0, 5.0]
    assert list(table["censored"]) == ["no", "no", "no", "right"]
    assert list(table["percentile"]) == [12.5, 37.5, 62.5, 87.5]
    assert table["log2_speedup"].tolist()[0] == -np.inf
    # One draw alone: the band is the curve itself; and two seeds give no interval of a task.
    assert list(table["band_low"]) == pytest.approx([0.0, 1.0, 5.0, 5.0])
    assert list(table["band_high"]) == list(table["band_low"])
    assert np.isnan(table["low"].to_numpy(float)).all()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "not measured"),
        ({"seconds_per_step": {"median": 1.0}}, "of both"),
        (
            {"seconds_per_step": {"median": 0.0}, "baseline_seconds_per_step": {"median": 1.0}},
            "not positive",
        ),
    ],
)
def test_timings_that_say_nothing(record: dict | None, reason: str):
    ratio, why = step_time_ratio(record)
    assert ratio is None and reason in why


def test_words():
    assert data_text(["built-in", "built-in"]) == "built-in real data"
    assert data_text(["real", "stand-in"]) == "real data and stand-in data"
    assert data_text([]) == "data of unknown kind"
    assert [rate_text(rate) for rate in (3e-4, 0.1, 1.0, 1e-10)] == ["3e-4", "1e-1", "1", "1e-10"]
    assert (times(5.0), times(2.5), times(1000 / 300)) == ("5x", "2.5x", "3.33x")


def test_looks_are_distinct_and_stable():
    labels = [f"o{i}" for i in range(7)] + ["VeLO (velo-tiny)"]
    found = looks(labels)
    assert len(set(found.values())) == 8
    assert found["VeLO (velo-tiny)"][0] == PALETTE[0] == looks(["VeLO (velo-tiny)"])[labels[-1]][0]
