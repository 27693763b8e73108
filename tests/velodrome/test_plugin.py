"""A second package, whose wheel lies in another folder, adds by entry points alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from velodrome import cli

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what pip would put there: what the wheel has in it."""
    site = tmp_path_factory.mktemp("site")
    build = WheelBuilder(str(PACKAGE)).build(directory=str(tmp_path_factory.mktemp("wheel")))
    for wheel in build:
        shutil.unpack_archive(wheel, site, "zip")
    return site


#: In a fresh interpreter: entry points are read once. Prints what each command printed.
PROGRAM = """
import contextlib, io, json, sys
from velodrome import cli
from velodrome.results.report.figures import contents
# Other figures take most of the time.
contents.MODULES = (contents.sorted_speedup,)
printed = {}
for name, words in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.main(words)
    assert code == 0, (words, code)
    printed[name] = out.getvalue()
print(json.dumps(printed))
"""
KINDS = ("families", "datasets", "optimizers", "suites")
TASK = {"family": "logistic", "data": "stripes", "batch_size": 8}
SWEEP = ("--learning-rates", "1e-3,1e-2", "--workers", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def printed(installed: Path, folder: Path) -> dict[str, str]:
    commands = {
        **{kind: ["list", kind] for kind in KINDS},
        "check": ["check", "optimizer", "signum"],
        "show": ["show", json.dumps(TASK)],
        "run": ["run", "plugged-in", "--out", "runs", *SWEEP],
        "report": ["report", "runs"],
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_lists_show_what_the_package_adds(
    printed: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    for kind, name in zip(KINDS, ("logistic", "stripes", "signum", "plugged-in"), strict=True):
        assert cli.main(["list", kind]) == 0
        assert name not in capsys.readouterr().out.split()
        assert name in printed[kind].split()


def test_its_optimizer_is_checked_and_its_family_priced(printed: dict[str, str]):
    assert "all checks passed" in printed["check"]
    assert "logistic (version 1)" in printed["show"]


def test_its_suite_runs_from_tasks_to_figures(printed: dict[str, str], folder: Path):
    assert "Signum" in printed["report"]
    figures = {path.suffix for path in (folder / "runs" / "report").iterdir()}
    assert {".png", ".pdf", ".csv"} <= figures
