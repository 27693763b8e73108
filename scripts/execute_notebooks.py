"""Execute the notebooks, and write each with what its cells show beside its source.

``make notebooks`` runs this after a source has changed. A test compares the cells of both.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def executed(source: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder."""
    notebook = jupytext.read(source)
    folder = tempfile.mkdtemp()
    try:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # Cells are numbered, and say neither when they ran nor what the kernel was.
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata.clear()
    notebook.metadata.pop("language_info", None)
    return notebook


def main(names: list[str]) -> int:
    for source in sorted(NOTEBOOKS.glob("*.py")):
        if not names or source.stem in names:
            nbformat.write(executed(source), source.with_suffix(".ipynb"))
            print(source.with_suffix(".ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
