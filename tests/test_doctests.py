"""Run the examples in docstrings: a wrong example is worse than none."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
from pathlib import Path

import pytest

import velodrome

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


def make_store(directory: Path) -> None:
    """Make the small store that the examples of reports read."""
    path = ROOT / "benchmarks" / "synthetic_store.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main([str(directory), "--tasks=2", "--steps=100", "--multiple=2", "--seeds=2"])


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_give_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = importlib.import_module(name)
    assert module.__file__ is not None
    if '"runs/mine"' in Path(module.__file__).read_text():
        make_store(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    # What an example registers is not there for the next test.
    for part in ("_values", "_lazy"):
        monkeypatch.setattr(velodrome.families, part, dict(getattr(velodrome.families, part)))
    # The names of the module itself are known to its examples, as to a reader of the docstring.
    known = {"velodrome": velodrome}
    assert any(test.examples for test in doctest.DocTestFinder().find(module))
    assert doctest.testmod(module, extraglobs=known, optionflags=doctest.ELLIPSIS).failed == 0


def test_every_public_function_and_class_has_an_example():
    bare = []
    for name in velodrome.__all__:
        value = getattr(velodrome, name)
        ours = getattr(value, "__module__", "").startswith("velodrome.")
        if ours and callable(value) and "Examples:" not in (value.__doc__ or ""):
            bare.append(name)
    assert bare == []
