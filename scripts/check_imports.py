"""Check the import contracts of pyproject.toml. ``python scripts/check_imports.py``.

import-linter reads the files of a package from one folder and follows no links, but in a checkout
the subpackages of ``velodrome`` lie at the root: so it is shown a copy, laid out as in the wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("foundation", "optimizers", "results", "suites", "taskgen")


def lay_out(target: Path) -> None:
    """Copy the package into ``target`` as the wheel has it."""
    only_code = shutil.ignore_patterns("__pycache__", "published", "partial")
    shutil.copytree(ROOT / "velodrome", target / "velodrome", ignore=only_code)
    for folder in FOLDERS:
        # `results/published` is data; a folder `published` anywhere else is code.
        ignore = only_code if folder == "results" else shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, target / "velodrome" / folder, ignore=ignore)


def main() -> int:
    """Run ``lint-imports`` on the copy and return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        lint = Path(sys.executable).with_name("lint-imports")
        command = [lint, "--no-cache", ROOT / "pyproject.toml"]
        environment = {**os.environ, "PYTHONPATH": folder}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
