"""The examples of searches run, where their libraries are installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "arguments", "scores"),
    [
        ("optuna", ["2"], r"finished with value: ([\d.]+)"),
        pytest.param(
            "hydra",
            ["--multirun", "learning_rate=1e-3,1e-2"],
            r"([\d.]+)x at",
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_example_of_a_search_gives_a_score_to_each_point(
    tmp_path: Path, library: str, arguments: list[str], scores: str
):
    pytest.importorskip(library)
    command = [sys.executable, str(ROOT / f"docs/examples/tune_{library}.py"), *arguments]
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    found = [float(value) for value in re.findall(scores, done.stdout + done.stderr)]
    assert len(found) == 2 and len(set(found)) == 2 and all(0 < value <= 2 for value in found)
