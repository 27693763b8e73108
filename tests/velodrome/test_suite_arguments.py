"""What a user may give for a suite or an optimizer, and the messages when it is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from velodrome import cli
from velodrome.commands._parsing import unfolded
from velodrome.commands._tasks import find_tasks
from velodrome.suites.catalog import load_suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.specfile import save_specs

SUITES = """
import sys
import velodrome

def raises():
    return {}["task"]

def leaves():
    sys.exit("enough")

def number():
    return 3

def wrong():
    return velodrome.Suite("mine", (), velodrome.Protocol(steps=20))

constant = 4.5
"""


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SUITES)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("raises", "the function raises that makes the suite 'mine.py:raises' raised KeyError: 't"),
        ("leaves", "the function leaves .* raised SystemExit: enough"),
        ("number", "must be a velodrome.Suite or a function that returns one, but gave 3 .of type"),
        ("wrong", "the function wrong .* raised SpecError: suite.tasks: got"),
        ("constant", "'mine.py:constant' is not a suite"),
    ],
)
def test_a_suite_from_a_file_that_fails_is_named(error_of, name: str, error: str):
    assert re.search(error, error_of("run", f"mine.py:{name}", "--out", "x"))
    assert not Path("x").exists()


def test_a_variable_shows_the_trace_of_a_suite_that_fails(
    error_of, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("VELODROME_TRACEBACK", "1")
    Path("mine.py").rename("traced.py")  # registries remember what a name stood for
    assert cli.main(["run", "traced.py:raises", "--out", "x"]) == 2
    error = capsys.readouterr().err
    assert 'return {}["task"]' in error
    assert error.splitlines()[-1].startswith("velodrome: the function raises")


def test_files_need_no_ending(error_of, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    spec = {"family": "mlp", "data": "digits", "batch_size": 32}
    content = {"schema": 1, "kind": "velodrome-tasks", "tasks": [{"spec": spec}]}
    (tmp_path / "tasks").write_text(json.dumps(content))
    (tmp_path / "spec").write_text(json.dumps(spec))
    for words in (["show", "tasks"], ["show", "./tasks:0"], ["show", "spec"], ["show", "./spec"]):
        assert cli.main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["batch_size"] == 32
    more = ["--out", "x", "--optimizers", "adam", "--dry-run"]
    assert cli.main(["run", "tasks", *more]) == 0
    assert "1 cell, " in capsys.readouterr().out
    (tmp_path / "text").write_text("hello")
    assert "suite: got 'text', but it must be a JSON file" in error_of("run", "text", *more)


def test_a_python_file_alone_says_that_an_object_is_missing(error_of, tmp_path):
    (tmp_path / "mine.py").write_text("")
    message = "mine.py is a Python file: say which object in it, as in mine.py:NAME."
    for kind in ("optimizer", "family", "data", "task"):
        assert message in error_of("check", kind, "mine.py")
    assert message in error_of("run", "mine.py", "--out", "x")
    assert message in error_of("run", "smoke", "--out", "x", "--optimizers", "mine.py")


def test_a_missing_file_is_said_to_be_taken_for_one(error_of):
    error = error_of("run", "my/tasks", "--out", "x")
    assert "there is no file my/tasks, and no suite of that name" in error
    assert "no suite named 'smok'. Did you mean 'smoke'" in error_of("run", "smok", "--out", "x")
    assert "my/tasks" in error_of("show", "my/tasks")
    assert "no part of a suite named 'velodrome-83/mlpp'" in error_of("show", "velodrome-83/mlpp")


def test_velo_without_weights_says_how_to_name_them(error_of):
    error = error_of("run", "smoke", "--out", "x", "--optimizers", "velo:")
    assert "got 'velo:', but it must be velo: with the name or path of weights after the" in error


def test_help_joins_the_lines_of_a_description():
    text = "Does.\n\nMore\nof it.\n\nArgs:\n  one: The first\n    of them.\n  two: The other."
    joined = "Does.\n\nMore\nof it.\n\nArgs:\n  one: The first of them.\n  two: The other."
    assert unfolded(text) == joined == unfolded(joined)


def test_help_of_run_shows_no_none(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--data {stand-in,built-in}" in shown
    assert "None" not in shown


def test_a_folder_with_a_colon_in_its_name_is_no_separator(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = Path("C:/mine")
    folder.mkdir(parents=True)
    task = TaskSpec("mlp", {}, DataSpec("digits"), 8, name="the one")
    for name in ("tasks.json", "tasks"):
        save_specs(folder / name, [task])
    (folder / "task.py").write_text(
        "import velodrome\none = velodrome.TaskSpec('mlp', {}, velodrome.DataSpec('digits'), 8)\n"
    )
    names = ("tasks.json", "tasks.json:0", "tasks.json:the one", "tasks", "tasks:0", "task.py:one")
    for name in names:
        assert [found.hash for found in find_tasks(f"C:/mine/{name}")] == [task.hash]
    assert load_suite("C:/mine/tasks").tasks == (task,)
