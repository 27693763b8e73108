from __future__ import annotations

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from velodrome import cli
from velodrome.foundation.errors import VelodromeError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Make the command `run` raise what the test says."""

    def install(error: BaseException) -> None:
        def command(arguments: list[str]) -> int:
            raise error

        monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(command=command))

    return install


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMANDS)
    assert "examples:" in shown


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: velodrome {name}" in shown
    assert f"examples:\n  velodrome {name}" in shown


def test_version(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("velodrome 0.")


def test_an_unknown_command_gets_the_close_ones(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["reprot"]) == 2
    message = capsys.readouterr().err
    close = "Did you mean 'report' or 'export' or 'retime'?"
    assert message == f"velodrome: there is no command named 'reprot'. {close}\n"


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["sample", "--cuont", "3"]) == 2
    assert "--count" in capsys.readouterr().err


def test_an_error_is_one_line_without_a_traceback(failing, capsys: pytest.CaptureFixture[str]):
    failing(VelodromeError("the cat\n  sat on it."))
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == "velodrome: the cat sat on it.\n"


def test_the_traceback_is_there_for_the_asking(
    failing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    failing(VelodromeError("the cat sat on it."))
    monkeypatch.setenv("VELODROME_TRACEBACK", "1")
    assert cli.main(["run"]) == 2  # as without it
    message = capsys.readouterr().err
    assert message.startswith("Traceback") and "in command" in message
    assert message.endswith("\nvelodrome: the cat sat on it.\n")


def test_a_file_error_names_the_file(failing, capsys: pytest.CaptureFixture[str]):
    failing(PermissionError(13, "Permission denied", "/data/x"))
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == "velodrome: /data/x: Permission denied.\n"


def test_a_file_of_the_cache_says_how_to_move_it(
    failing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("VELODROME_CACHE", "/data/cache")
    failing(PermissionError(13, "Permission denied", "/data/cache/x"))
    assert cli.main(["run"]) == 2
    message = capsys.readouterr().err
    assert "velodrome's cache, /data/cache: the environment variable VELODROME_CACHE" in message


def test_a_bug_keeps_its_traceback(failing):
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["run"])


def test_ctrl_c_says_how_to_go_on(failing, capsys: pytest.CaptureFixture[str]):
    failing(KeyboardInterrupt())
    assert cli.main(["run", "demo", "--out", "my runs"]) == 130
    message = capsys.readouterr().err
    assert message.endswith("run the same command again: velodrome run demo --out 'my runs'\n")
    assert cli.main(["show", "x"]) == 130
    assert capsys.readouterr().err == "velodrome: interrupted.\n"


def test_sigterm_is_an_interrupt_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = signal.getsignal(signal.SIGTERM)

    def command(arguments: list[str]) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(command=command))
    assert cli.main(["run", "demo", "--out", "x"]) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_help_of_all_commands_imports_nothing_heavy():
    code = """
import sys
from velodrome import cli
cli.main(["--help"])
# The configurations that metatrain shows name optimizers, whose weights are numpy arrays.
for name in sorted(cli.COMMANDS, key="metatrain".__eq__):
    before = "numpy" in sys.modules
    cli.main([name, "--help"])
print("first with numpy:", name, not before and "numpy" in sys.modules)
cli.main(["data", "status"])
heavy = {"jax", "flax", "optax", "pandas", "pyarrow", "matplotlib", "sklearn", "skimage"}
print("loaded:", sorted(heavy & set(sys.modules)))
"""
    lines = python(code).splitlines()
    assert "first with numpy: metatrain True" in lines
    assert lines[-1] == "loaded: []"


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m velodrome --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("usage: velodrome COMMAND [OPTIONS]\n", "")
