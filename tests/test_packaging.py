"""What an editable install would not notice: whether the wheel holds all that is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: The folders at the root of the repository; the wheel has all of them under `velodrome`.
FOLDERS = ("foundation", "optimizers", "results", "suites", "taskgen", "velodrome")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = out.glob("velodrome-*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    published = {
        path for path in tracked if path.startswith(("results/published/", "results/partial/"))
    }
    assert published
    inside = {f"velodrome/{path.removeprefix('velodrome/')}" for path in tracked - published}
    assert inside == {name for name in wheel if ".dist-info/" not in name}
    for needed in (
        "velodrome/suites/lists/demo.json",
        "velodrome/taskgen/profiles/v100.json",
        "velodrome/optimizers/velo/weights/builtin/velo-tiny.safetensors",
        "velodrome/optimizers/velo/weights/builtin/velo-tiny.json",
        "velodrome/results/report/figures/velodrome.mplstyle",
        "velodrome/__init__.pyi",
        "velodrome/py.typed",
    ):
        assert needed in wheel


def test_the_wheel_has_one_name(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"velodrome"}


def test_direct_imports_are_declared():
    """Third-party modules that the packages import are dependencies, not luck."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # What is imported of these extras is imported where its absence is told.
    extras = project["optional-dependencies"]
    names = ("prepare", "ray", "search", "tensorboard")
    optional = [line for name in names for line in extras[name]]
    declared = {
        line.split(">")[0].split("=")[0].split("<")[0].strip()
        for line in (*project["dependencies"], *optional)
    }
    modules = {
        "PIL": "pillow",
        "sklearn": "scikit-learn",
        "skimage": "scikit-image",
        "tensorflow_datasets": "tensorflow-datasets",
    }
    imported = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module.split(".")[0])
    foreign = {
        modules.get(name, name)
        for name in imported
        if name not in sys.stdlib_module_names and name != "velodrome"
    }
    assert foreign - declared == set()
