"""A package that is installed and broken costs its own line, and hides nothing else."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from velodrome import cli
from velodrome.suites.catalog import suites

KINDS = {
    "families": ("family", "mlp"),
    "datasets": ("data set", "digits"),
    "optimizers": ("optimizer", "adam"),
    "suites": ("suite", "smoke"),
}

#: What the modules of the broken package hold.
MODULES = {
    "raises": "raise RuntimeError('two\\nlines')",
    "empty": "thing = None",
    "hollow": "def thing(): raise KeyError('x')",
}


@pytest.fixture
def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, code in MODULES.items():
        (tmp_path / f"velodrome_broken_{module}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    whole = importlib.metadata.entry_points

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        broken = [
            importlib.metadata.EntryPoint(
                f"bad-{module}", f"velodrome_broken_{module}:thing", group
            )
            for module in MODULES
        ]
        return [*whole(group=group), *(broken if group.startswith("velodrome.") else [])]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


@pytest.mark.usefixtures("_broken")
@pytest.mark.parametrize("kind", KINDS)
def test_lists_name_what_is_broken_and_show_the_rest(kind: str, capsys: pytest.CaptureFixture[str]):
    what, built_in = KINDS[kind]
    assert cli.main(["list", kind]) == 0
    shown = capsys.readouterr()
    assert built_in in shown.out.split()
    for module in MODULES:
        (line,) = [line for line in shown.err.splitlines() if f"'bad-{module}'" in line]
        assert line.startswith(f"velodrome: {what} 'bad-{module}' cannot be used: ")
    assert len(shown.err.splitlines()) == len(MODULES)
    assert "RuntimeError: two lines" in shown.err


@pytest.mark.usefixtures("_broken")
def test_other_commands_go_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert cli.main(["data", "status"]) == 0
    shown = capsys.readouterr()
    assert "digits" in shown.out and "data set 'bad-raises' cannot be used" in shown.err
    assert "suite bad-raises: " in shown.out
    assert cli.main(["list", "tasks", "smoke"]) == 0
    assert cli.main(["show", "smoke:0"]) == 0
    assert capsys.readouterr().err == ""
    # Of all suites: two are enough here, because costs take their time.
    monkeypatch.setattr(type(suites), "names", lambda self: ["bad-raises", "smoke"])
    assert cli.main(["list", "tasks"]) == 0
    shown = capsys.readouterr()
    assert "smoke:" in shown.out and "suite 'bad-raises' cannot be used" in shown.err
