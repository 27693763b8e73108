"""Execute the notebooks cell by cell, and check that what they show is true.

A cell runs as in a kernel, and the value of its last line is shown as in a notebook. This takes
only jupytext; with a real kernel the tests could not see the names that a notebook defines.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pandas as pd
import pytest
from jupytext.cli import jupytext as jupytext_command
from nbformat import validate

import velodrome
from scripts.site_notebooks import page_of
from velodrome.optimizers.registry import optimizers

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
PNG = b"\x89PNG"


def code_cells(path: Path) -> list[str]:
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "<cell>", "exec"), names)
        return None
    tree.body.pop()
    exec(compile(tree, "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


def shown_as(value: Any) -> str:
    """Return how a notebook shows a value: a picture, a table, or text."""
    if hasattr(value, "_repr_png_"):
        picture, page = value._repr_png_()
        assert picture.startswith(PNG)
        assert 300 < page["width"] < 1200
        return "picture"
    if hasattr(value, "_repr_html_"):
        assert "<table" in value._repr_html_()
        return "table"
    return repr(value)


def run_notebook(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], list[str]]:
    """Run a notebook in an empty folder; return its names, and what its cells show."""
    monkeypatch.chdir(folder)
    # The next test does not see what a notebook registers.
    for registry in (velodrome.families, velodrome.datasets, optimizers):
        for part in ("_values", "_lazy"):
            monkeypatch.setattr(registry, part, dict(getattr(registry, part)))
    # As in a kernel its classes are of `__main__`, so that a cell may be run again.
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    names = vars(main)
    shown = []
    for source in code_cells(ROOT / "notebooks" / f"{name}.py"):
        value = run_cell(source, names)
        if value is not None:
            shown.append(shown_as(value))
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is not None:
        plots.close("all")
    return names, shown


@pytest.mark.long
@pytest.mark.slow
def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names, shown = run_notebook("quickstart", tmp_path, monkeypatch)
    assert shown == ["table", "table", "table", "picture"]
    # Both learn; and the curve of VeLO is the one that the race has for the same task and seed.
    curves = names["curves"]
    assert (curves.iloc[-1] < 0.95 * curves.iloc[0]).all()
    cells = velodrome.Store.open("runs/quickstart").cells()
    velo = next(cell for cell in cells if cell.name == "velo").curves()
    (row,) = (row for row, lane in enumerate(velo.lanes) if lane.seed == 0)
    np.testing.assert_allclose(velo.values[row], curves["VeLO"], rtol=1e-3)
    # Nothing failed; and a second run of the race's cell finds everything there.
    shards = names["run"].done
    assert shards >= 8 and not names["run"].missing
    race = next(s for s in code_cells(ROOT / "notebooks/quickstart.py") if "velodrome.run" in s)
    run_cell(race, names)
    assert (names["run"].done, names["run"].already) == (0, shards)
    speedups = names["results"].summary["speedup_steps_default"]
    assert len(speedups) == 2
    assert speedups.between(0.01, 3).all()


@pytest.mark.long
def test_add_a_task_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names, shown = run_notebook("add_a_task_family", tmp_path, monkeypatch)
    assert shown == ["table", "table", "table", "picture"]
    checks = names["checks"]
    assert len(checks) >= 10
    assert (checks["problem"] == "").all()
    assert not names["run"].failed
    summary = names["results"].summary
    assert list(summary["family"]) == ["gated", "gated"]
    assert list(summary["provenance"]) == ["built-in", "stand-in"]
    assert (summary["candidate_train"] < 0.9 * summary["initial_train"]).all()
    assert "stand-in" in velodrome.figures(names["results"])["learning_curves"].caption
    # A reader who changes a cell runs it again, together with those below.
    for source in code_cells(ROOT / "notebooks/add_a_task_family.py"):
        if "register" in source or "velodrome.family" in source:
            run_cell(source, names)


@pytest.mark.long
def test_speedup_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VELODROME_STORE", raising=False)
    names, shown = run_notebook("speedup_plots", tmp_path, monkeypatch)
    assert shown.count("picture") == 4  # three tasks have no figure of the headline
    assert len(shown) == 11
    # What was computed by hand is what the report says.
    pd.testing.assert_series_equal(
        names["ratio"], names["compared"].loc[names["task"]], check_names=False
    )
    # As its text says: in short runs the paper's definition flatters the candidate.
    definitions = names["results"].definitions.set_index("definition")["median"]
    assert definitions["paper"] > 1.2 * definitions["default"]
    assert Path("speedup.pdf").read_bytes().startswith(b"%PDF")
    # With the reader's own store nothing is trained, and everything is the same.
    monkeypatch.setenv("VELODROME_STORE", str(Path(names["store"]).resolve()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again, shown_again = run_notebook("speedup_plots", elsewhere, monkeypatch)
    assert shown_again == shown
    assert not (elsewhere / "runs").exists()
    pd.testing.assert_frame_equal(again["results"].summary, names["results"].summary)
    # A store whose sweep stopped has no strict speedup.
    store = tmp_path / "decided"
    velodrome.run(names["suite"], store, timing=False, workers=0, progress="silent")
    monkeypatch.setenv("VELODROME_STORE", str(store))
    decided, _ = run_notebook("speedup_plots", elsewhere, monkeypatch)
    assert "default" in decided["names"]
    assert "strict" not in decided["names"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sources_are_notebooks(path: Path, tmp_path: Path):
    source = jupytext.read(path)
    validate(source)
    kinds = {cell.cell_type for cell in source.cells}
    assert kinds == {"code", "markdown"}
    assert source.metadata["kernelspec"]["name"] == "python3"
    jupytext.write(source, tmp_path / "notebook.ipynb")
    jupytext.write(
        jupytext.read(tmp_path / "notebook.ipynb"), tmp_path / "back.py", fmt="py:percent"
    )
    back = jupytext.read(tmp_path / "back.py")
    assert [(cell.cell_type, cell.source) for cell in back.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_public_names_alone(path: Path):
    ours = {entry.name for entry in ROOT.iterdir() if (entry / "__init__.py").exists()}
    for source in code_cells(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported = {node.module or ""}
            else:
                continue
            assert not {name for name in imported if name.split(".")[0] in ours - {"velodrome"}}
            assert not {name for name in imported if name.startswith("velodrome.")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_executed_notebook_is_that_of_the_source(path: Path):
    """`make notebooks` makes it again."""
    executed = jupytext.read(path.with_suffix(".ipynb"))
    validate(executed)
    cells = [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]
    assert [(cell.cell_type, cell.source) for cell in executed.cells] == cells
    outputs = [out for cell in executed.cells for out in cell.get("outputs", [])]
    assert outputs and all(out.output_type != "error" for out in outputs)
    text, pictures = page_of(path.with_suffix(".ipynb"), repository="https://github.com/a/b")
    assert f"github/a/b/blob/main/notebooks/{path.stem}.ipynb" in text
    assert pictures and all(picture.startswith(PNG) for picture in pictures.values())


def test_the_documented_notebooks_are_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (ROOT / "docs" / "tutorials" / "notebooks.md").read_text()
    documented = re.findall(r"\]\(\.\./\.\./notebooks/(\w+)\.py\)", text)
    assert sorted(documented) == [path.stem for path in NOTEBOOKS]
    (command,) = re.findall(r"^\$ (jupytext .*)$", text, re.MULTILINE)
    (tmp_path / "notebooks").mkdir()
    for path in NOTEBOOKS:
        (tmp_path / "notebooks" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    pattern, *options = reversed(shlex.split(command)[1:])
    jupytext_command([*reversed(options), *map(str, sorted(Path().glob(pattern)))])
    made = sorted((tmp_path / "notebooks").glob("*.ipynb"))
    assert [path.stem for path in made] == [path.stem for path in NOTEBOOKS]
