"""A library that is missing is named, with the extra that installs it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.extras import optional

ROOT = Path(__file__).parents[2]


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    message = r"^a search needs cma, .*'velodrome\[search\]' \(.*'.\[search\]'\), or do not\.$"
    with pytest.raises(VelodromeError, match=message):
        optional("cma", extra="search", needed_by="a search", otherwise="do not")


def test_every_extra_that_is_named_is_declared():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set()
    for folder in ("foundation", "optimizers", "results", "suites", "taskgen", "velodrome"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            named |= set(re.findall(r'\bextra="(\w+)"', text))
            named |= set(re.findall(r"velodrome\[(\w+)\]", text))
    assert {"ray", "slurm", "wandb"} <= named <= set(extras["optional-dependencies"])
