"""Standard streams that are closed, missing, full, or too narrow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from velodrome import cli
from velodrome.foundation.streams import is_terminal

CODE = "import sys; from velodrome import cli; sys.exit(cli.main([{!r}]))"


def run(words: str, shell: str) -> int:
    python = f'{sys.executable} -c "{CODE.format(words)}"'
    return subprocess.run(["sh", "-c", f"{python} {shell}"], capture_output=True).returncode


@pytest.mark.parametrize(
    ("words", "shell", "code"),
    [
        ("--help", ">&-", 0),
        ("nonsense", "<&- >&- 2>&-", 2),
        ("--help", ">/dev/full", 2),
    ],
)
def test_closed_and_full_streams(words: str, shell: str, code: int):
    assert run(words, shell) == code


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path):
    code = (
        "from velodrome.foundation.streams import prepare_streams; prepare_streams(); "
        f"number = open({str(tmp_path / 'f')!r}, 'w').fileno(); "
        f"print(number > 2, file=open({str(tmp_path / 'g')!r}, 'w'))"
    )
    python = [sys.executable, "-c", code]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *python])
    assert done.returncode == 0 and (tmp_path / "g").read_text() == "True\n"


def test_streams_that_are_not_there(monkeypatch: pytest.MonkeyPatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert cli.main(["nonsense"]) == 2 and cli.main(["list", "suites"]) == 0
    assert not is_terminal(None)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def test_a_reader_that_has_gone_is_no_verdict(monkeypatch: pytest.MonkeyPatch):
    """rich would exit with 1, which says of a comparison that something became worse."""
    for arguments in (["list", "suites"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert cli.main(arguments) == 141
            stream.flush()  # as Python does at its end


def test_narrow_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "3")  # layouts for under five columns never ended
    assert cli.main(["calibrate", "--help"]) == 0
    assert "usage: velodrome calibrate" in capsys.readouterr().out


def test_characters_that_an_encoding_lacks(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
):
    with os.fdopen(os.dup(1), "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert cli.main(["caf\u00e9"]) == 2
    assert b"caf\\xe9" in capfdbinary.readouterr().out
