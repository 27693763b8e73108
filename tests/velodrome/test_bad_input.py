"""One test on the error for each class of bad input, as a user meets it on the command line."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

import velodrome
from velodrome import cli
from velodrome.suites.running.run import RunResult

SPEC: dict[str, Any] = {"family": "mlp", "data": {"name": "digits"}, "batch_size": 32}


def with_config(**config: Any) -> str:
    return json.dumps({**SPEC, "config": config})


@pytest.mark.parametrize(
    "words, error",
    [
        (["sample", "--family", "mpl"], "no family named 'mpl'. Did you mean 'mlp'"),
        (["run", "smok", "--out", "x"], "no suite named 'smok'. Did you mean 'smoke'"),
        (
            ["run", "smoke", "--out", "x", "--optimizers", "adma"],
            "no optimizer named 'adma'. Did you mean '.*adam",
        ),
        (["show", json.dumps({**SPEC, "data": "digit"})], "named 'digit'. Did you mean 'digits'"),
        (["show", json.dumps({**SPEC, "family": "cn"})], "no family named 'cn'. Did you mean"),
        (["show", json.dumps(SPEC), "--device", "v10"], "named 'v10'. Did you mean 'v100'"),
        (["show", "smoek:0"], "named 'smoek:0'"),
        (["weights", "verify", "velo-tny"], "named 'velo-tny'. Did you mean 'velo"),
        (["weights", "fetch", "vello"], "named 'vello'. Did you mean 'velo'"),
        (
            ["metatrain", "--config", "velo-tinny", "--out", "x"],
            "'velo-tinny'. Did you mean 'velo-",
        ),
        (["check", "optimizer", "optax:lin"], "lin.*Did you mean.*lion"),
        (["check", "family", "rn"], "no family named 'rn'. Did you mean 'rnn'"),
    ],
)
def test_an_unknown_name_gets_the_close_ones(error_of, words: list[str], error: str):
    if words[0] == "sample":
        words = [*words, "--count", "1", "-o", "tasks.json"]
    assert re.search(error, error_of(*words))


@pytest.mark.parametrize(
    "spec, error",
    [
        (with_config(hidden_size=0), "config.hidden_size: got 0, but it must be an integer from 1"),
        (with_config(hidden_size="big"), "config.hidden_size: got 'big', but it must be an int"),
        (with_config(activation="relo"), "config.activation: got 'relo', but it must be one of"),
        (with_config(hiden_size=3), "'hiden_size', .*did you mean 'hidden_size'"),
        (json.dumps({**SPEC, "batch_size": 0}), "batch_size: got 0, but it must be an integer fr"),
        (json.dumps({**SPEC, "batchsize": 1}), "got 'batchsize', .*did you mean 'batch_size'"),
        (json.dumps({**SPEC, "version": 99}), "version: got 99, but it must be"),
        (json.dumps({"family": "mlp"}), "spec: got .*a mapping with the key 'data'"),
        (json.dumps({"family": "mlp"}), '"data": "digits", "batch_size": 32}'),
        ("gnn", 'gnn is a family; .*: velodrome show .{"family": "gnn", "data": "networkx_atlas"'),
        ("mixer", "no task.* named 'mixer'. Did you mean .*mlp_mixer"),
        ('{"family": ', r"spec: .*JSON \(.*line 1"),
    ],
)
def test_a_wrong_spec_names_field_value_and_range(error_of, spec: str, error: str):
    assert re.search(error, error_of("show", spec))


def test_a_wrong_file_of_tasks_says_where(error_of, tmp_path: Path):
    path = tmp_path / "tasks.json"
    entries = [{"spec": SPEC}, {"spec": {**SPEC, "batch_size": -4}}]
    path.write_text(json.dumps({"schema": 1, "kind": "velodrome-tasks", "tasks": entries}))
    assert re.search(r"tasks\[1\].batch_size: got -4", error_of("show", "tasks.json"))
    path.write_text("{")
    assert "tasks.json" in error_of("show", "tasks.json")
    path.unlink()
    assert "tasks.json" in error_of("run", "tasks.json", "--out", "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "options, error",
    [
        (["--steps", "0"], "protocol.steps: got 0, but it must be an integer of at least 1"),
        (["--steps", "17"], "protocol.steps: got 17, but it must be a multiple of eval_every"),
        (["--seeds", "-1"], "protocol.seeds: got -1"),
        (["--learning-rates", "fast"], "--learning-rates: got 'fast', but it must be numbers"),
        (["--learning-rates", "1e-3,1e-3"], "protocol.learning_rates: .*different rates"),
    ],
)
def test_a_wrong_protocol_names_field_value_and_range(error_of, options: list[str], error: str):
    assert re.search(error, error_of("run", "smoke", "--out", "x", *options))


@pytest.mark.parametrize(
    "options, error",
    [
        (["--steps", "inf"], "--steps: got 'inf', but it must be a whole number, such as 1000"),
        (["--steps=1.5"], "--steps: got '1.5', but it must be a whole number"),
        (["--seeds", "three"], "--seeds: got 'three', but it must be a whole number"),
        (["--steps", "1e999999999"], "--steps: got '1e999999999', but it must be a whole number"),
        (["--lr", "1e-3"], "no option --lr; did you mean --learning-rates?"),
        (["--learning_rate=1e-3"], "no option --learning-rate; did you mean --learning-rates?"),
        (["--optimiser", "adam"], "no option --optimiser; did you mean --optimizers?"),
        (["--dry"], "no option --dry; did you mean --dry-run?"),
        (["--zzz"], "`velodrome run` has no option --zzz. `velodrome run --help` lists all."),
    ],
)
def test_words_of_no_use_are_said_in_one_line(error_of, options: list[str], error: str):
    assert error in error_of("run", "smoke", "--out", "x", *options)


def test_other_numbers_are_said_in_one_line(error_of):
    error = "--hours: got 'one', but it must be a number, such as 0.5"
    assert error in error_of("show", "smoke:0", "--hours", "one")
    assert "hours: got inf, but it must be a" in error_of("show", "smoke:0", "--hours", "inf")


@pytest.mark.parametrize(("word", "number"), [("1e3", 1000), ("2_000", 2000), ("30.0", 30)])
def test_whole_numbers_may_have_an_exponent(
    monkeypatch: pytest.MonkeyPatch, word: str, number: int
):
    given: list[object] = []

    def run(*_: object, **options: object) -> RunResult:
        given.append(options["steps"])
        return RunResult(Path("nowhere"), ())

    monkeypatch.setattr(velodrome, "run", run)
    assert cli.main(["run", "smoke", "--out", "x", "--steps", word]) == 0
    assert given == [number]


@pytest.mark.parametrize(
    "options, error",
    [
        (["--count", "0"], "--count: got 0, but it must be an integer of at least 1"),
        (["--count", "1", "--seed", "-1"], "--seed: got -1"),
    ],
)
def test_wrong_sampling_options_are_named(error_of, options: list[str], error: str):
    assert error in error_of("sample", *options, "-o", "tasks.json")


@pytest.mark.parametrize(
    "words, error",
    [
        (["sample", "--count", "1", "--hours", "nan", "-o", "x"], "hours: got nan, but it must be"),
        (["sample", "--count", "1", "--max-mflop", "0", "-o", "x"], "max_mflop: got 0.0, but it"),
        (["show", "smoke:0", "--hours", "-1"], "hours: got -1.0, but it must be a positive number"),
        (["calibrate", "--name", "../x"], "profile.name: got '../x', but it must be letters"),
        (["calibrate", "--name", ""], "profile.name: got '', but it must be letters"),
        (["calibrate", "--name", "V100"], "profile.name: got 'V100', but it must be another name"),
        (
            ["metatrain", "--config", "velo-tiny", "--out", "x", "--max-minutes", "nan"],
            "--max-minutes: got nan, but it must be a number of minutes",
        ),
        (["run", "smoke", "--out", "x", "--workers", "-1"], "workers is -1; give 0"),
        (["run", "smoke", "--out", "x", "--optimizers", ","], "one or more names of optimizers"),
    ],
)
def test_other_options_out_of_range_are_named(error_of, tmp_path, words: list[str], error: str):
    assert error in error_of(*words)
    assert not list(tmp_path.iterdir())


def test_data_of_the_wrong_kind_are_named(error_of):
    spec = json.dumps({**SPEC, "data": "kjv"})
    error = "data.name: got 'kjv', but it must be a data set of kind 'image' for family 'mlp'"
    assert error in error_of("show", spec)
    assert error in error_of("check", "task", spec)
    assert error in _run_spec(error_of, spec)


def test_a_file_that_is_no_text_is_named(error_of, tmp_path: Path):
    (tmp_path / "tasks.json").write_bytes(b"\xff\xfe\x00")
    assert "file: got 'tasks.json', but it must be text in UTF-8" in error_of("show", "tasks.json")
    assert "'tasks.json', but it must be a JSON file" in error_of("run", "tasks.json", "--out", "x")
    assert "tasks.json is not JSON" in error_of("metatrain", "--config", "tasks.json", "--out", "x")


def test_a_task_number_beyond_the_end_is_named(error_of):
    assert re.search(
        r"task number: got 99, but it must be from 0 to \d+", error_of("show", "smoke:99")
    )
    assert re.search(r"task number: got -1, but it must be from 0", error_of("show", "smoke:-1"))


def test_a_published_task_that_is_not_implemented_says_what_is_missing(error_of):
    error = error_of("show", "JAXNeRF_LegoBlenderTask")
    assert (
        "the published task JAXNeRF_LegoBlenderTask is not implemented: it needs the ren" in error
    )


def test_data_that_cannot_be_loaded_say_so(error_of):
    spec = json.dumps({**SPEC, "data": "cifar10"})
    assert re.search("cifar10.*has no content hash|cifar10.*not", _run_spec(error_of, spec))


def _run_spec(error_of, spec: str) -> str:
    content = {"schema": 1, "kind": "velodrome-tasks", "tasks": [{"spec": json.loads(spec)}]}
    Path("tasks.json").write_text(json.dumps(content))
    return error_of("run", "tasks.json", "--out", "x", "--optimizers", "adam,sgd")


def test_wrong_and_damaged_weights_say_what_was_expected_and_found(error_of, tmp_path: Path):
    (tmp_path / "params").write_bytes(b"\x80\x04 a pickle")
    assert "is a pickle, which is never opened" in error_of("weights", "verify", "./params")
    (tmp_path / "params").write_bytes(b"\x83\xa6params")
    assert re.search("expected .* found 8 bytes", error_of("weights", "verify", "./params"))
    assert "cannot read the weights" in error_of("weights", "verify", "./nothing")
    error = error_of("run", "smoke", "--out", "x", "--optimizers", "velo:./params")
    assert re.search("expected .* found 8 bytes", error)


def test_a_store_that_is_none_is_named(error_of, tmp_path: Path):
    assert "nowhere" in error_of("report", "nowhere")
    (tmp_path / "manifest.json").write_text("{")
    assert "manifest.json" in error_of("report", ".")


def test_a_place_that_cannot_be_written_keeps_nothing_half_written(error_of, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    error = error_of("sample", "--count", "1", "--data", "built-in", "-o", "file/tasks.json")
    assert "cannot write file/tasks.json" in error
    assert "file" in error_of("run", "smoke", "--out", "file/x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_permission_to_write_keeps_nothing_half_written(error_of, tmp_path: Path, monkeypatch):
    def refuse(**where: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # The user who runs the tests may write everywhere, so the system call is played.
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    for words in (
        ("sample", "--count", "1", "--data", "built-in", "-o", "tasks.json"),
        ("run", "smoke", "--out", "x", "--workers", "0"),
    ):
        error = error_of(*words)
        assert re.search(r"cannot write \S+: Permission denied\. .* a place that you may wr", error)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {".lock"}  # of the run that could not begin


def test_a_full_disk_leaves_nothing_half_written(error_of, tmp_path: Path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "tasks.json").write_text("the old file")
    monkeypatch.setattr(os, "fsync", full)
    error = error_of("sample", "--count", "1", "--data", "built-in", "-o", "tasks.json")
    assert re.search("cannot write tasks.json: No space left on device.*make room", error)
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.json"]
    assert (tmp_path / "tasks.json").read_text() == "the old file"


def test_a_contribution_that_is_none_says_what_was_expected(error_of, tmp_path: Path):
    (tmp_path / "mine.py").write_text("family = 3\noptimizer = 'adam'\n")
    assert "must be a velodrome.Family" in error_of("check", "family", "mine.py:family")
    assert "not an optimizer" in error_of("check", "optimizer", "mine.py:optimizer")
    assert "expected a TaskSpec, found int" in error_of("check", "task", "mine.py:family")
    assert "Did you mean 'family'" in error_of("check", "family", "mine.py:famly")
    assert "there is no file no.py" in error_of("check", "family", "no.py:family")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    error = error_of("check", "family", "broken.py:family")
    assert "running broken.py failed: ZeroDivisionError" in error


def test_a_wrong_meta_training_config_is_named(error_of, tmp_path: Path):
    (tmp_path / "config.json").write_text('{"no_such_section": 1}')
    assert "no_such_section" in error_of("metatrain", "--config", "config.json", "--out", "x")
    assert "nothing.json" in error_of("metatrain", "--config", "nothing.json", "--out", "x")
