"""The diagrams in docs/explanation/architecture.md are those of the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_imports import FOLDERS, lay_out

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
THE_REPOSITORY = "the repository"

Arrows = set[tuple[str, str]]

READ_IMPORTS = """
import json
import grimp
graph = grimp.build_graph("velodrome", cache_dir=None)
modules = graph.modules
print(json.dumps([(a, b) for a in modules for b in graph.find_modules_directly_imported_by(a)]))
"""


def diagrams() -> dict[str, tuple[set[str], Arrows]]:
    """Return for each drawn folder the folders drawn inside it, and the arrows between them."""
    found = {}
    for block in re.findall(r"```mermaid\nflowchart TD\n(.*?)```", TEXT, re.DOTALL):
        first, *lines = (line.strip() for line in block.strip().splitlines())
        nodes: set[str] = set()
        arrows: Arrows = set()
        for line in lines:
            start, _, ends = line.partition(" --> ")
            drawn = {(start, end) for end in ends.split(" & ") if end}
            nodes |= {start, *(end for _, end in drawn)}
            arrows |= drawn
        found[first.removeprefix("%% inside ")] = (nodes, arrows)
    return found


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("laid-out")
    lay_out(folder)
    done = subprocess.run(
        [sys.executable, "-c", READ_IMPORTS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def path_of(module: str) -> str:
    """Return where the folder or file of a module lies, seen from the root of the repository."""
    below = module.removeprefix("velodrome.")
    in_its_folder = below.split(".")[0] in FOLDERS
    return below.replace(".", "/") if in_its_folder else module.replace(".", "/")


def inside(folder: str, path: str, nodes: set[str]) -> str | None:
    """Return the node of a folder's diagram that a path lies in."""
    rest = path if folder == THE_REPOSITORY else path.removeprefix(f"{folder}/")
    if folder != THE_REPOSITORY and rest == path:
        return None
    first = rest.split("/")[0]
    return first if first in nodes else None


@pytest.mark.parametrize("folder", diagrams())
def test_a_diagram_has_the_arrows_of_the_code(folder: str, imports: list[tuple[str, str]]):
    nodes, drawn = diagrams()[folder]
    ends = (
        (inside(folder, path_of(a), nodes), inside(folder, path_of(b), nodes)) for a, b in imports
    )
    real = {(a, b) for a, b in ends if a and b and a != b}
    assert drawn == real


def test_every_folder_is_drawn_and_described():
    folders = {
        file.parent.relative_to(ROOT).as_posix()
        for package in (*FOLDERS, "velodrome")
        for file in (ROOT / package).rglob("__init__.py")
    }
    described = set(re.findall(r"^(?:- |## )`([a-z_/]+)`", TEXT, re.MULTILINE))
    assert described == folders
    nodes_of = {folder: nodes for folder, (nodes, _) in diagrams().items()}
    assert nodes_of.pop(THE_REPOSITORY) == {folder for folder in folders if "/" not in folder}
    for folder in folders:
        children = {
            child.rpartition("/")[2] for child in folders if child.rpartition("/")[0] == folder
        }
        assert nodes_of.get(folder, set()) == (children if len(children) > 1 else set())
