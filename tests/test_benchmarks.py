"""Benchmarks are code like any other, but take the time they take."""

from __future__ import annotations

import importlib
import importlib.util
import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Item:
    """As much of a `pytest.Item` as the hook looks at."""

    def __init__(self, path: Path, *markers: pytest.MarkDecorator):
        self.path = path
        self.markers = list(markers)

    def get_closest_marker(self, name: str) -> pytest.MarkDecorator | None:
        return next((marker for marker in self.markers if marker.name == name), None)

    def add_marker(self, marker: pytest.MarkDecorator) -> None:
        self.markers.append(marker)


def test_benchmarks_have_no_time_limit_of_tests():
    path = ROOT / "benchmarks" / "conftest.py"
    spec = importlib.util.spec_from_file_location("benchmarks_conftest", path)
    assert spec is not None and spec.loader is not None
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    ours, own = Item(path.parent / "test_x.py"), Item(path.parent / "y.py", pytest.mark.timeout(9))
    test = Item(ROOT / "tests" / "test_x.py")
    conftest.pytest_collection_modifyitems([ours, own, test])
    assert [marker.args for marker in ours.markers] == [(0,)]
    assert [marker.args for marker in own.markers] == [(9,)]
    assert test.markers == []


def test_types_are_checked_in_the_packages_and_in_what_runs_them():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = tools["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert {*packages, "tests", "benchmarks"} <= set(tools["pyright"]["include"])


@pytest.mark.long
def test_a_device_is_measured_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    gpu, parts = importlib.import_module("gpu"), importlib.import_module("gpu_parts")
    out = tmp_path / "gpu.json"
    assert gpu.main(["--small", "--out", str(out)]) == 0
    found = json.loads(out.read_text())["sections"]
    assert list(found) == ["compile", "update", "batching", "calibrate"]
    assert found["compile"]["mlp-64-16-16-10: Adam"]["seconds"] > 0
    assert found["update"]["mlp-64-16-16-10"]["traffic ms"] > 0
    assert found["calibrate"]["profile"]["peak_flops"] > 0

    def broken() -> None:
        raise ValueError("no such device")

    section = parts.Section("broken", 60.0, {"one": broken, "two": lambda: {"x": 1.0}}, iter)
    late = parts.Section("late", -1.0, {"one": broken}, iter)
    assert not gpu.measure([section, late], out, small=True)
    found = json.loads(out.read_text())["sections"]
    assert found["broken"]["one"] == {"failed": "ValueError: no such device"}
    assert found["broken"]["two"]["x"] == 1.0 and "left out" in found["late"]["one"]
