"""A second package, installed by pip into a folder of its own, adds by entry points alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    # A copy, because building leaves files behind; no index, because nothing is to be fetched.
    source = tmp_path_factory.mktemp("source") / "plugin"
    _copy(PACKAGE, source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)),
            str(source),
        ],
        check=True,
    )
    return target


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.suffix in (".py", ".toml"):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def velodrome(installed: Path | None, folder: Path, *commands: list[str]) -> str:
    """Runs commands in one fresh interpreter and returns what they printed."""
    code = (
        "import json, sys\nfrom velodrome import cli\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = cli.main(words)\n"
        "    assert code == 0, (words, code)\n"
    )
    environment = dict(os.environ)
    if installed is not None:
        environment["PYTHONPATH"] = str(installed)
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_lists_show_what_the_package_adds(installed: Path, tmp_path: Path):
    kinds = ("families", "datasets", "optimizers", "suites")
    commands = [["list", kind] for kind in kinds]
    without = velodrome(None, tmp_path, *commands).split()
    listed = velodrome(installed, tmp_path, *commands).split()
    for name in ("logistic", "stripes", "signum", "plugged-in"):
        assert name in listed
        assert name not in without


def test_its_optimizer_is_checked_and_its_family_priced(installed: Path, tmp_path: Path):
    spec = {"family": "logistic", "data": "stripes", "batch_size": 8}
    shown = velodrome(
        installed,
        tmp_path,
        ["check", "optimizer", "signum"],
        ["show", json.dumps(spec)],
    )
    assert "all checks passed" in shown
    assert "logistic (version 1)" in shown


@pytest.mark.slow
def test_its_suite_runs_from_tasks_to_figures(installed: Path, tmp_path: Path):
    shown = velodrome(
        installed,
        tmp_path,
        ["run", "plugged-in", "--out", "runs", "--learning-rates", "1e-3,1e-2", "--workers", "0"],
        ["report", "runs"],
    )
    assert "Signum" in shown
    figures = {path.suffix for path in (tmp_path / "runs" / "report").iterdir()}
    assert {".png", ".pdf", ".csv"} <= figures
