"""The files at the root of the repository that other programs read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import velodrome

ROOT = Path(__file__).parents[1]


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # those CFF requires
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == velodrome.__version__
    assert citation["authors"] == [{"name": "The velodrome authors"}]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert {"type": "other", "value": "arXiv:2211.09760"} in paper["identifiers"]


def test_the_hooks_run_what_make_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    found = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]
    assert [hook["entry"] for hook in hooks] == commands


def test_every_module_with_shapes_is_checked_at_run_time():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    (text,) = (o for o in options["addopts"] if o.startswith("--jaxtyping-packages="))
    *checked, _ = text.partition("=")[2].split(",")
    for folder in ("foundation", "optimizers", "results", "suites", "taskgen", "velodrome"):
        for path in (ROOT / folder).rglob("*.py"):
            if "from jaxtyping import" in path.read_text():
                parts = [*path.relative_to(ROOT).with_suffix("").parts]
                module = ".".join(parts if folder == "velodrome" else ["velodrome", *parts])
                assert any(f"{module}.".startswith(f"{name}.") for name in checked), module
