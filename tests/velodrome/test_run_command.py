from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import velodrome
from velodrome import cli
from velodrome.suites.running.run import RunResult


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace the real run by one that notes its arguments."""
    noted: list[Any] = []

    def run(*arguments: Any, **options: Any) -> Any:
        noted.append((arguments, options))
        return RunResult(Path("nowhere"), ())

    monkeypatch.setattr(velodrome, "run", run)
    return noted


def test_options_reach_the_run(calls: list[Any]):
    words = "run demo --out x --optimizers velo,adam --seeds 2 --steps 40 --baseline-multiple 3"
    more = "--learning-rates 1e-3,0.01 --workers 2 --refine --dry-run --device v100 --data stand-in"
    more += " --precision bfloat16 --grad-accumulation 4 --corpus-examples 64"
    grid = "--grid adam.b1=0.9,1 sgd.nesterov=true --grid a/b.py:make.kind=big --seeds 2"
    last = "--shard 2/8 --baseline racing:3 --track wandb:mine,mlflow"
    assert cli.main([*words.split(), *more.split(), *last.split(), *grid.split()]) == 0
    ((arguments, options),) = calls
    assert arguments == ("demo", Path.cwd() / "x")
    assert options == {
        "optimizers": ["velo", "adam"],
        "seeds": 2,
        "steps": 40,
        "baseline_multiple": 3,
        "baseline": "racing:3",
        "corpus_examples": 64,
        "learning_rates": [0.001, 0.01],
        "grid": {
            "adam": {"b1": [0.9, 1]},
            "sgd": {"nesterov": [True]},
            "a/b.py:make": {"kind": ["big"]},
        },
        "refine": 0.01,
        "data": "stand-in",
        "precision": "bfloat16",
        "grad_accumulation": 4,
        "workers": 2,
        "engine": None,
        "time_limit": None,
        "partition": None,
        "gpus": 0,
        "address": None,
        "devices": None,
        "sharding": None,
        "shard": "2/8",
        "trackers": ["wandb:mine", "mlflow"],
        "dry_run": True,
        "device": "v100",
        "rerun_changed": False,
    }


@pytest.mark.parametrize("words", ["adam=1", "adam.b1", "adam.b1=0.9,", "adam.b1=1 adam.b1=2"])
def test_a_grid_of_another_form_is_refused(
    words: str, calls: list[Any], capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["run", "demo", "--out", "x", "--grid", *words.split()]) == 2 and not calls
    assert f"--grid: got '{words.split()[-1]}', but it must be" in capsys.readouterr().err


def test_options_that_are_left_out_are_those_of_the_suite(calls: list[Any]):
    assert cli.main(["run", "demo", "--out", "x"]) == 0
    ((_, options),) = calls
    assert set(options.values()) == {None, False, "decided"}


def test_failed_shards_are_counted_and_exit_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    result = SimpleNamespace(
        failed=dict.fromkeys(("0123", "4567"), {"message": "out of memory"}),
        directory=Path("x"),
        missing=2,
    )
    monkeypatch.setattr(velodrome, "run", lambda *_, **__: result)
    assert cli.main(["run", "demo", "--out", "x"]) == 1
    shown = capsys.readouterr().err
    assert "2 shards failed; why is said above, and kept in x/failures" in shown
    assert "Run the same command again to try them once more" in shown
    assert "out of memory" not in shown  # the display has said it, once


def test_the_plan_of_all_83_on_another_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is here but the package: no data, no GPU."""
    options = ["--out", str(tmp_path / "x"), "--dry-run", "--device", "v100"]
    assert cli.main(["run", "velodrome-83", *options]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert "166 cells, " in shown and "6,640 runs" in shown and "v100 (not measured)" in shown
    assert "75 runs x 100,000 steps" in shown and "Missing data: imagenet64, for 5 tasks" in shown
    assert not (tmp_path / "x").exists()
    assert cli.main(["run", "smoke", "--out", str(tmp_path / "x"), "--device", "v100"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_shards_that_cannot_be_read_back_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    result = RunResult(tmp_path, (), done=1, missing=2)
    monkeypatch.setattr(velodrome, "run", lambda *arguments, **options: result)
    assert cli.main(["run", "smoke", "--out", str(tmp_path)]) == 1
    assert "2 shards cannot be read back" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["run demo --out", "report", "metatrain --config toy --out"])
def test_no_command_takes_an_empty_path_for_this_directory(
    words: str, calls: list[Any], capsys: pytest.CaptureFixture[str]
):
    assert cli.main([*words.split(), ""]) == 2 and not calls
    assert "Error parsing" in capsys.readouterr().err


def test_a_complete_run_says_what_was_found(monkeypatch: pytest.MonkeyPatch, capsys):
    demo = Path(__file__).parents[2] / "results" / "published" / "demo"
    found = RunResult(demo, (), done=3)
    monkeypatch.setattr(velodrome, "run", lambda *_, **__: found)
    assert cli.main(["run", "demo", "--out", "x"]) == 0
    best, seconds, rates, report = capsys.readouterr().out.splitlines()
    assert best.startswith("Best in steps on 8 tasks (built-in real data): VeLO (velo-tiny)")
    assert seconds.startswith("In seconds") and rates.startswith("Rate to start from")
    assert report.startswith(f"velodrome report {demo}")
    # A part of a run has seen a part of the tasks only.
    assert cli.main(["run", "demo", "--out", "x", "--shard", "1/2"]) == 0
    assert capsys.readouterr().out == ""
