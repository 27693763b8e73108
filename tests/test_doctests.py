"""Run the examples in docstrings: a wrong example is worse than none."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("foundation", "optimizers", "results", "suites", "taskgen", "velodrome")


def modules_with_examples() -> list[str]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text():
                parts = path.relative_to(ROOT).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found.append(".".join(parts if package == "velodrome" else ("velodrome", *parts)))
    return found


def test_modules_with_examples_are_found():
    assert {
        "velodrome",
        "velodrome.taskgen.space.draws",
        "velodrome.results.speedup.envelope",
    } <= set(modules_with_examples())


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_give_what_they_say(name: str):
    module = importlib.import_module(name)
    # The names of the module itself are known to its examples, as to a reader of the docstring.
    failed, attempted = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert attempted > 0
    assert failed == 0
