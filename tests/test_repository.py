"""The files at the root of the repository that other programs read."""

from __future__ import annotations

import re
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
